"""What a reader finds before any audio was opened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from greenbench.corpora.utterance import LeftOut, Phones


@dataclass(frozen=True)
class Entry:
    """One line of a manifest or one file of a folder. ``split`` is a hint: train, valid, test, pretrain or None.

    ``duration_s`` None means up to the file's end; ``expected_samples`` is the length that the manifest claims the
    whole file has, at the file's own rate.
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
    expected_samples: int | None = None


@dataclass(frozen=True)
class Listing:
    """A reader's result. ``trusted`` audio was verified by checksum, so only its headers are read."""

    name: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    trusted: bool = False


def short_ids(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Replace ids that are paths by bare file names if that leaves all different, else by the shortest paths.

    The name of the file is what the public corpora use as the utterance's id, so the same recordings have the same
    ids in whichever layout and wherever they lie.
    """
    entries = tuple(entries)
    stems = [Path(e.id).name for e in entries]
    if len(set(stems)) == len(stems):
        return tuple(replace(e, id=stem) for e, stem in zip(entries, stems, strict=True))
    absolute = [e.id for e in entries if e.id.startswith("/")]
    common = os.path.commonpath(absolute) + "/" if absolute else ""
    return tuple(replace(e, id=e.id.removeprefix(common)) for e in entries)


def path_id(path: Path | str, root: Path | None = None) -> str:
    """Return the path without its suffix, below ``root`` where it lies there, with forward slashes."""
    path = Path(path)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    return path.with_suffix("").as_posix()


def absent(value: object) -> str | None:
    """Return a label as text, None for what means that there is none."""
    text = "" if value is None else str(value).strip()
    return text or None


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "pretrain": "pretrain",
    "unlabelled": "pretrain",
    "unlabeled": "pretrain",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "eval": "test",
}
"""Folder, file and column values that name a split."""


def split_name(text: object) -> str | None:
    """Return the split that a name stands for: ``train``, ``asr_train`` and ``train-clean-100`` all mean train."""
    words = str(text or "").lower().replace("_", "-").replace(".", "-").split("-")
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
