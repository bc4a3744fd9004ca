"""Readers: one small module a format, each turning files on disk into a :class:`Listing` of entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greenbench.data.readers import (
    common_voice,
    fairseq,
    fleurs,
    folder,
    lhotse,
    librispeech,
    manifest,
    named,
    nemo,
    voxpopuli,
)
from greenbench.data.readers.entry import Entry, Listing

__all__ = ["READERS", "Entry", "Listing", "Reader", "recognise"]


@dataclass(frozen=True)
class Reader:
    """A kind of ``data = "kind:argument"``."""

    read: Callable[[str], Listing]
    argument: str


READERS: dict[str, Reader] = {
    "folder": Reader(folder.read, "PATH"),
    "manifest": Reader(manifest.read, "FILE"),
    "librispeech": Reader(named.read_librispeech, "SUBSET[+SUBSET]"),
    "librilight": Reader(named.read_librilight, "10min|1h|10h"),
    "common_voice": Reader(common_voice.read, "PATH"),
    "fleurs": Reader(fleurs.read, "PATH"),
    "voxpopuli": Reader(voxpopuli.read, "PATH"),
    "fairseq": Reader(fairseq.read, "PATH"),
    "nemo": Reader(nemo.read, "PATH"),
    "lhotse": Reader(lhotse.read, "FILE"),
}

_LAYOUTS = (librispeech, common_voice, fleurs, voxpopuli, fairseq)


def recognise(root: Path) -> Callable[[str], Listing] | None:
    """Return the reader of a public corpus' layout, if the folder has one."""
    return next((layout.read for layout in _LAYOUTS if layout.matches(root)), None)
