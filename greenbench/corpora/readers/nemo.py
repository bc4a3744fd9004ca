"""NeMo's manifest: JSON lines with ``audio_filepath``, ``duration``, ``text`` and perhaps ``offset``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, path_id, short_ids, split_name
from greenbench.corpora.readers.jsonl import read_objects
from greenbench.errors import DataError


def read(argument: str) -> Listing:
    """Read one manifest, or all of a folder (``train*.json``, ``test*.json``); relative paths start at the file."""
    path = Path(argument).expanduser()
    files = sorted([*path.glob("*.json"), *path.glob("*.jsonl")]) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: holds no .json or .jsonl manifest; give a NeMo manifest")
    entries = [entry for file in files for entry in _read_file(file)]
    return Listing(path.resolve().stem, short_ids(entries))


def _read_file(path: Path) -> list[Entry]:
    entries = []
    for number, value in read_objects(path):
        if not isinstance(value.get("audio_filepath"), str):
            raise DataError(f"{path} line {number}: key 'audio_filepath' is missing; it is no NeMo manifest")
        audio = path.parent / Path(value["audio_filepath"]).expanduser()
        try:
            # Without an offset the duration is the file's; asking for it exactly would trip over its rounding.
            offset_s = float(value.get("offset") or 0.0)
            duration_s = float(value["duration"]) if "offset" in value and value.get("duration") else None
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} line {number}: offset and duration must be seconds ({error})") from error
        name = path_id(audio)
        entries.append(
            Entry(
                path=str(audio),
                id=f"{name}@{offset_s:g}" if offset_s else name,
                offset_s=offset_s,
                duration_s=duration_s,
                split=split_name(value.get("split") or path.stem),
                speaker=absent(value.get("speaker")),
                language=absent(value.get("lang") or value.get("language")),
                text=absent(value.get("text")),
                keyword=absent(value.get("command")),
            )
        )
    return entries
