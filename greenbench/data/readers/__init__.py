"""Readers: one small module a format, each turning files on disk into a :class:`Listing` of entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greenbench.data.readers import folder
from greenbench.data.readers.entry import Entry, Listing

__all__ = ["READERS", "Entry", "Listing", "Reader", "recognise"]


@dataclass(frozen=True)
class Reader:
    """A kind of ``data = "kind:argument"``."""

    read: Callable[[str], Listing]
    argument: str


READERS: dict[str, Reader] = {"folder": Reader(folder.read, "PATH")}


def recognise(root: Path) -> Callable[[str], Listing] | None:
    """Return the reader of a public corpus' layout, if the folder has one."""
    return None
