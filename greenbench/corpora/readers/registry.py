"""The forms that ``data = "kind:argument"`` takes, each with the reader behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greenbench.corpora.readers import common_voice, fairseq, fleurs, folder, lhotse, manifest, named, nemo, voxpopuli
from greenbench.corpora.readers.entry import Listing
from greenbench.corpora.readers.layouts import completed


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
    "common_voice": Reader(completed(common_voice.read), "PATH"),
    "fleurs": Reader(completed(fleurs.read), "PATH"),
    "voxpopuli": Reader(completed(voxpopuli.read), "PATH"),
    "fairseq": Reader(completed(fairseq.read), "PATH"),
    "nemo": Reader(nemo.read, "PATH"),
    "lhotse": Reader(lhotse.read, "FILE"),
}
