"""NeMo's manifest: JSON lines with ``audio_filepath``, ``duration``, ``text`` and perhaps ``offset``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import Entry, Listing, absent, with_ids
from greenbench.corpora.readers.jsonl import channel_of, check_unchanged, read_objects, seconds
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import known_split, split_name
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError


def read(argument: str) -> Listing:
    """Read one manifest, or all of a folder (``train*.json``, ``test*.json``); relative paths start at the file."""
    path = Path(argument).expanduser()
    found = [*path.glob("*.json"), *path.glob("*.jsonl")] if path.is_dir() else [path]
    files = sorted(file for file in found if not file.name.startswith("."))
    if not files:
        raise DataError(f"{path}: holds no .json or .jsonl manifest; give a NeMo manifest")
    left_out: list[LeftOut] = []
    names = Names()
    entries = [entry for file in files for entry in _read_file(file, names, left_out)]
    return Listing(path.resolve().stem, with_ids(entries), tuple(left_out))


def _read_file(path: Path, names: Names, left_out: list[LeftOut]) -> list[Entry]:
    entries = []
    for number, value in read_objects(path, left_out):
        try:
            entries.append(_entry(value, path, names))
        except NotFoundError as error:
            left_out.append(
                LeftOut(str(path.parent / value["audio_filepath"]), f"{error} (line {number} of {path.name})")
            )
        except (ValueError, OverflowError) as error:
            left_out.append(LeftOut(f"{path} line {number}", str(error)))
    return entries


def _entry(value: Mapping[str, Any], path: Path, names: Names) -> Entry:
    audio = value.get("audio_filepath")
    if isinstance(audio, list):
        raise ValueError("its channels lie in several files; give each as a line of its own")
    if not isinstance(audio, str):
        raise ValueError("key 'audio_filepath' is missing; it is no NeMo manifest")
    check_unchanged(value)
    channel = value.get("channel_selector", value.get("channel"))
    duration = value.get("duration")
    return Entry(
        path=names.find(audio, path.parent, within=path.parent),
        offset_s=seconds(value.get("offset") or 0.0, "offset"),
        # NeMo reads so much from the offset on, also from a file that is longer.
        duration_s=seconds(duration, "duration") if duration else None,
        split=known_split(value.get("split")) or split_name(path.stem),
        speaker=absent(value.get("speaker")),
        language=absent(value.get("lang") or value.get("language")),
        text=absent(value.get("text")),
        keyword=absent(value.get("command")),
        channel=None if channel == "average" else channel_of(channel),
    )
