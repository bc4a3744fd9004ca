"""Names that say which split a recording belongs to: of folders, of files, in a column."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_SPLITS = {
    "train": ("train", "training", "trn", "tr"),
    "pretrain": ("pretrain", "unlabelled", "unlabeled", "unsupervised"),
    "valid": ("valid", "validation", "validate", "val", "dev", "devel", "development", "cv"),
    "test": ("test", "testing", "tst", "tt", "eval", "evaluation", "evaluate", "heldout", "holdout"),
}
SPLIT_NAMES = {name: split for split, names in _SPLITS.items() for name in names}
"""Every name that stands for a split alone."""

_IN_WORDS = frozenset(SPLIT_NAMES) - {"tr", "tt", "cv", "trn", "tst"}
"""Names that count in a longer one too; the shortest mean other things there (``tr-TR``, ``cv-corpus``)."""

_MOST_PROTECTED = ("test", "valid", "pretrain", "train")


def split_name(text: object) -> str | None:
    """The split that a name stands for: ``asr_train`` and ``train-clean-100`` mean train, ``held-out`` means test."""
    return _split_of(str(text or "").strip().lower())


@functools.lru_cache(maxsize=4096)
def _split_of(name: str) -> str | None:
    if name in SPLIT_NAMES:
        return SPLIT_NAMES[name]
    words = re.split(r"[-_.\s]+", re.sub(r"held[-_ ]out|hold[-_ ]out", "heldout", name))
    found = {SPLIT_NAMES[word] for word in words if word in _IN_WORDS}
    return most_protected(found)


def known_split(value: object) -> str | None:
    """The split that a column says; None for an empty one and for the number of a fold.

    Raises :class:`ValueError` for a name that stands for no split: it might be kept for testing.
    """
    name = str(value if value is not None else "").strip()
    split = split_name(name)
    if split is None and name and not name.isdecimal():
        raise ValueError(f"its split {name[:40]!r} is not known; call it train, valid, test or pretrain")
    return split


def most_protected(splits: Iterable[str | None]) -> str | None:
    """The split that keeps the most from being trained on: test before valid before the others."""
    found = set(splits)
    return next((split for split in _MOST_PROTECTED if split in found), None)


def split_of_folders(folders: Iterable[str]) -> str | None:
    """The split that the folders above a file name, from the outermost on.

    A test folder at any depth makes everything below it test; among the others the innermost decides.
    """
    found = [split for name in folders if (split := split_name(name)) is not None]
    protected = most_protected(found)
    return protected if protected in ("test", "valid") or not found else found[-1]
