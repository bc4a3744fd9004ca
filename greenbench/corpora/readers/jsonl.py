"""Our own manifest: one JSON object a line, plain or gzipped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import Entry, absent
from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import known_split
from greenbench.corpora.utterance import LeftOut, Phones, Utterance
from greenbench.errors import DataError
from greenbench.units import SAMPLE_RATE


def find_manifest(folder: Path) -> Path:
    """``manifest.jsonl`` or ``manifest.jsonl.gz`` of a folder."""
    for name in ("manifest.jsonl", "manifest.jsonl.gz"):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: holds no manifest.jsonl; reinstall greenbench or build the corpus again")


def read_objects(path: Path, left_out: list[LeftOut] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of each line that is one; the others are added to ``left_out`` with the reason.

    Without ``left_out`` the first wrong line raises :class:`DataError`, which names it.
    """
    for number, line in read_lines(path):
        if line is not None and not line.strip():
            continue
        try:
            yield number, _object(line)
        except (ValueError, RecursionError) as error:
            if left_out is None:
                raise DataError(f"{path} line {number}: {error}; correct or rebuild the manifest") from error
            left_out.append(LeftOut(f"{path} line {number}", str(error)))


def _object(line: str | None) -> dict[str, Any]:
    if line is None:
        raise ValueError("is not UTF-8")
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not valid JSON lines ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {line.strip()[:40]!r}")
    return value


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
            label_sets=_label_sets(value.get("label_sets")),
            **_labels(value),
        )
    except KeyError as error:
        raise DataError(f"{path} line {number}: key {error} is missing; id, path, num_samples are needed") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} line {number}: {error}") from error


def _labels(value: Mapping[str, Any]) -> dict[str, Any]:
    names = ("speaker", "language", "text", "keyword", "speaker_split")
    return {name: absent(value.get(name)) for name in names}


def _label_sets(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"label_sets must be a list of names, found {str(value)[:40]!r}")
    return tuple(value)


def _phones(value: Any) -> Phones | None:
    if not value:
        return None
    return tuple((str(phone), float(begin), float(end)) for phone, begin, end in value)


_CHANGES = ("speed", "tempo", "transforms", "mix", "tracks")


def check_unchanged(value: Mapping[str, Any]) -> None:
    """Refuse a line that asks for other audio than the file holds: another speed, a mixture; nothing applies them."""
    for key in _CHANGES:
        asked = value.get(key)
        if asked not in (None, "", 1, [], {}) and not (isinstance(asked, str) and asked.strip() in ("1", "1.0")):
            raise ValueError(f"asks for {key} = {str(asked)[:40]}, which is not applied; write that audio to a file")


def seconds(value: Any, key: str) -> float:
    """A time of a manifest; raises :class:`ValueError` where it is no finite number or negative."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key} must be a number, found {str(value)[:40]!r}") from error
    if not (math.isfinite(number) and number >= 0) or isinstance(value, bool):
        raise ValueError(f"{key} must be a finite number from 0 on, found {value!r}")
    return number


def channel_of(value: Any) -> int | None:
    """A channel counted from 0, None for all; raises :class:`ValueError` for what selects several."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"channel must be one whole number from 0 on, found {str(value)[:40]!r}")
    return value


def read_entries(path: Path, left_out: list[LeftOut]) -> list[Entry]:
    """Read a manifest of a user: only ``path`` is needed; seconds or samples; relative to the manifest's folder.

    A line that cannot be used is added to ``left_out``; the others stay.
    """
    names, entries = Names(), []
    for number, value in read_objects(path, left_out):
        try:
            entries.append(_entry(value, names, path))
        except (TypeError, ValueError, OverflowError) as error:
            left_out.append(LeftOut(f"{path} line {number}", str(error)))
        except NotFoundError as error:
            left_out.append(LeftOut(str(path.parent / value["path"]), f"{error} (line {number} of {path.name})"))
    return entries


def _entry(value: Mapping[str, Any], names: Names, path: Path) -> Entry:
    if not isinstance(value.get("path"), str):
        raise ValueError("key 'path' is missing; give the audio file's path")
    check_unchanged(value)
    rate = seconds(value.get("sample_rate", SAMPLE_RATE), "sample_rate") or SAMPLE_RATE
    is_span = "offset_s" in value
    offset_s = seconds(value["offset_s"], "offset_s") if is_span else seconds(value.get("offset", 0), "offset") / rate
    duration_s = value.get("duration_s")
    if "num_samples" in value:
        duration_s = seconds(value["num_samples"], "num_samples") / rate
    return Entry(
        path=names.find(value["path"], path.parent, within=path.parent),
        id=absent(value.get("id")) or "",
        offset_s=offset_s,
        duration_s=None if duration_s is None else seconds(duration_s, "duration_s"),
        split=known_split(value.get("split")),
        task=absent(value.get("task")),
        phones=_phones(value.get("phones")),
        channel=channel_of(value.get("channel")),
        label_sets=_label_sets(value.get("label_sets")),
        **_labels(value),
    )
