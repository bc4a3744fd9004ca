"""What a reader finds before any audio was opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from greenbench.data.utterance import LeftOut, Phones


@dataclass(frozen=True)
class Entry:
    """One line of a manifest or one file of a folder. ``split`` is a hint: train, valid, test, pretrain or None.

    ``duration_s`` None means up to the file's end.
    """

    path: str
    id: str
    offset_s: float = 0.0
    duration_s: float | None = None
    split: str | None = None
    speaker: str | None = None
    language: str | None = None
    text: str | None = None
    keyword: str | None = None
    phones: Phones | None = None
    task: str | None = None
    speaker_split: str | None = None


@dataclass(frozen=True)
class Listing:
    """A reader's result. ``trusted`` audio was verified by checksum, so only its headers are read."""

    name: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    trusted: bool = False


def short_ids(entries: Iterable[Entry]) -> list[Entry]:
    """Replace ids that are relative paths by bare file names wherever that leaves all ids different.

    The name of the file is what the public corpora use as the utterance's id, so the same recordings have the same
    ids in whichever layout they lie.
    """
    entries = list(entries)
    if any(count > 1 for count in Counter(e.id for e in entries).values()):
        return entries
    stems = [Path(e.id).name for e in entries]
    if len(set(stems)) < len(stems):
        return entries
    return [replace(e, id=stem) for e, stem in zip(entries, stems, strict=True)]


def relative_id(path: Path, root: Path) -> str:
    """Return the path below ``root`` without its suffix, with forward slashes."""
    try:
        path = path.relative_to(root)
    except ValueError:
        pass
    return path.with_suffix("").as_posix()


SPLIT_NAMES = {
    "train": "train", "training": "train", "pretrain": "pretrain", "unlabelled": "pretrain", "unlabeled": "pretrain",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test", "eval": "test",
}  # fmt: skip
"""Folder, file and column values that name a split."""
