"""What a reader finds before any audio was opened."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from greenbench.corpora.readers.lines import is_text
from greenbench.corpora.readers.suffixes import composed, stem_of
from greenbench.corpora.utterance import LeftOut, Phones


@dataclass(frozen=True)
class Entry:
    """One line of a manifest or one file of a folder. ``split`` is a hint: train, valid, test, pretrain or None.

    ``id`` "" stands for one made of the file's name. ``duration_s`` None means up to the file's end;
    ``expected_samples`` is the length that the manifest claims the whole file has, at the file's own rate, and
    ``claimed_length`` the same in whatever unit a table has it (s, ms or samples). ``channel`` counts from 0; None
    averages all.
    """

    path: str
    id: str = ""
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
    label_sets: tuple[str, ...] = ()
    expected_samples: int | None = None
    claimed_length: float | None = None
    channel: int | None = None


@dataclass(frozen=True)
class Listing:
    """A reader's result. ``trusted`` audio was verified by checksum, so only its headers are read."""

    name: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    trusted: bool = False


def with_ids(entries: Iterable[Entry], root: Path | None = None) -> tuple[Entry, ...]:
    """Give an id to every entry that has none: the file's path below ``root``, and what of the file it is.

    Offset, then duration and channel are added in full precision, as far as they are needed to tell entries apart.
    Paths become bare file names if that leaves all ids different, else they lose only what all have in common: the
    name of the file is what the public corpora use as the utterance's id, so the same recordings have the same ids in
    whichever layout and wherever they lie.
    """
    entries = tuple(entries)
    ids = [entry.id or _id_of_file(entry, root) for entry in entries]
    for part in (_duration_part, _channel_part):
        counts = Counter(ids)
        ids = [
            name if entry.id or counts[name] == 1 else name + part(entry)
            for name, entry in zip(ids, entries, strict=True)
        ]
    return tuple(replace(entry, id=name) for entry, name in zip(entries, _short(ids), strict=True))


def _id_of_file(entry: Entry, root: Path | None) -> str:
    name = path_id(entry.path, root)
    return f"{name}@{entry.offset_s:.15g}" if entry.offset_s else name


def _duration_part(entry: Entry) -> str:
    return "" if entry.duration_s is None else f"+{entry.duration_s:.15g}"


def _channel_part(entry: Entry) -> str:
    return "" if entry.channel is None else f":{entry.channel}"


def _short(ids: list[str]) -> list[str]:
    names = [Path(name).name for name in ids]
    if len(set(names)) == len(names):
        return names
    above = [str(Path(name).parent) for name in ids if name.startswith("/")]
    common = os.path.commonpath(above).rstrip("/") + "/" if above else ""
    return [name.removeprefix(common) for name in ids]


def path_id(path: Path | str, root: Path | None = None) -> str:
    """The path without the ending of its audio format, below ``root`` where it lies there, in composed characters."""
    path = Path(path)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    return composed(stem_of(path.as_posix()))


def absent(value: object) -> str | None:
    """A label as text, None for what means that there is none.

    Raises :class:`ValueError` for what is no label: a list, an object, half a character.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected a text as label, found {str(value)[:40]!r}")
    text = str(value).strip()
    if not is_text(text):
        raise ValueError("a label holds half a character (a surrogate)")
    return text or None
