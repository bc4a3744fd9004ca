"""Our own manifest: one JSON object a line, plain or gzipped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from greenbench.corpora.readers.entry import Entry, absent, path_id, split_name
from greenbench.corpora.utterance import Phones, Utterance
from greenbench.errors import DataError
from greenbench.units import SAMPLE_RATE


def find_manifest(folder: Path) -> Path:
    """Return ``manifest.jsonl`` or ``manifest.jsonl.gz`` of a folder."""
    for name in ("manifest.jsonl", "manifest.jsonl.gz"):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: holds no manifest.jsonl; reinstall greenbench or build the corpus again")


def open_text(path: Path) -> TextIO:
    """Open a text file for reading, gzipped where its name ends in ``.gz``."""
    try:
        return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give an existing manifest") from error


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object; raises :class:`DataError` that names the line."""
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise DataError(f"{path} line {number}: expected a JSON object, found {line.strip()[:40]!r}")
                yield number, value
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path}: not valid JSON lines ({error}); correct or rebuild the manifest") from error


def read_utterances(path: Path) -> list[Utterance]:
    """Read a complete manifest, one that has ``num_samples`` on every line, without opening any audio."""
    return [_utterance(value, path, number) for number, value in read_objects(path)]


def _utterance(value: Mapping[str, Any], path: Path, number: int) -> Utterance:
    try:
        return Utterance(
            id=str(value["id"]),
            path=str(path.parent / value["path"]),
            offset=int(value.get("offset", 0)),
            num_samples=int(value["num_samples"]),
            sample_rate=int(value.get("sample_rate", SAMPLE_RATE)),
            split=str(value.get("split", "pretrain")),
            channels=int(value.get("channels", 1)),
            task=str(value.get("task") or "speech"),
            phones=_phones(value.get("phones")),
            **_labels(value),
        )
    except KeyError as error:
        raise DataError(f"{path} line {number}: key {error} is missing; id, path, num_samples are needed") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} line {number}: {error}") from error


def _labels(value: Mapping[str, Any]) -> dict[str, Any]:
    names = ("speaker", "language", "text", "keyword", "speaker_split")
    return {name: absent(value.get(name)) for name in names}


def _phones(value: Any) -> Phones | None:
    if not value:
        return None
    return tuple((str(phone), float(begin), float(end)) for phone, begin, end in value)


def read_entries(path: Path) -> list[Entry]:
    """Read a manifest of a user: only ``path`` is needed; seconds or samples; relative to the manifest's folder."""
    entries = []
    for number, value in read_objects(path):
        if not isinstance(value.get("path"), str):
            raise DataError(f"{path} line {number}: key 'path' is missing; give the audio file's path")
        audio = path.parent / value["path"]
        try:
            rate = float(value.get("sample_rate", SAMPLE_RATE))
            offset_s = float(value["offset_s"]) if "offset_s" in value else float(value.get("offset", 0)) / rate
            duration_s = value.get("duration_s")
            if "num_samples" in value:
                duration_s = float(value["num_samples"]) / rate
            entries.append(
                Entry(
                    path=str(audio),
                    id=str(value.get("id") or path_id(value["path"])),
                    offset_s=offset_s,
                    duration_s=None if duration_s is None else float(duration_s),
                    split=split_name(value.get("split")),
                    task=value.get("task"),
                    phones=_phones(value.get("phones")),
                    **_labels(value),
                )
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"{path} line {number}: {error}") from error
    return entries
