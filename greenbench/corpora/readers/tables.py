"""Tables of labels: CSV, TSV or JSON lines, in the column names that people use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.csv_rows import read_cells
from greenbench.corpora.readers.entry import Entry, absent
from greenbench.corpora.readers.jsonl import check_unchanged, read_objects, seconds
from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.readers.split_names import known_split, split_name
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

TABLES = ("manifest.tsv", "metadata.csv", "metadata.tsv", "metadata.jsonl", "manifest.csv", "metadata.txt")

COLUMNS = {
    "path": ("path", "file_name", "filename", "file", "audio", "audio_filepath", "wav", "clip"),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "reader"),
    "language": ("language", "lang", "locale"),
    "split": ("split", "subset", "partition"),
    "keyword": ("keyword", "label", "command", "word"),
}
_LJSPEECH = ("path", "text", "normalized_text")

_STARTS = ("start", "offset", "begin", "start_time", "begin_time")
_ENDS = ("end", "stop", "end_time")
_LENGTHS = ("duration",)
_UNITS = {"": 1.0, "_s": 1.0, "_sec": 1.0, "_seconds": 1.0, "_ms": 0.001}
_CHANNELS = {"a": 0, "l": 0, "left": 0, "b": 1, "r": 1, "right": 1}


@dataclass(frozen=True)
class Row:
    """One row: the audio's path as written, the labels of an :class:`Entry`, and which part of the audio is meant."""

    path: str
    labels: dict[str, Any]
    span: dict[str, Any] = field(default_factory=dict)

    def entry(self, path: str) -> Entry:
        """The entry for the file that the row's path turned out to mean."""
        return Entry(path=path, **self.labels, **self.span)


def read_rows(path: Path, left_out: list[LeftOut]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV or TSV file as dictionaries; the separator is the one its header uses most."""
    header = next((line for _, line in read_lines(path) if line and line.strip()), None)
    if header is None:
        raise DataError(f"{path}: not a readable table (it has no header); save it as UTF-8 CSV or TSV")
    separator = _separator(header)
    rows = read_cells(path, separator, left_out)
    names = [name.strip() for name in next(rows, [])]
    if separator == "|" and not {name.lower() for name in names} & set(COLUMNS["path"]):
        # LJSpeech's table has no header: id|text as written|text as spoken.
        yield dict(zip(_LJSPEECH, names, strict=False))
        names = list(_LJSPEECH)
    for row in rows:
        yield dict(zip(names, row, strict=False))


def _separator(header: str) -> str:
    """The separator with which the header names a path, else the one that it holds most; LJSpeech's has no header."""
    for separator in "\t,|;":
        if {name.strip(' "').lower() for name in header.split(separator)} & set(COLUMNS["path"]):
            return separator
    return "|" if "|" in header else max("\t,;", key=header.count)


def read_table(path: Path, left_out: list[LeftOut]) -> list[Row]:
    """Read a table with a column for the audio's path; raises :class:`DataError` without one.

    Rows that cannot be used are added to ``left_out``.
    """
    is_json = path.suffix == ".jsonl"
    values: Iterator[Mapping[str, Any]]
    values = (value for _, value in read_objects(path, left_out)) if is_json else read_rows(path, left_out)
    rows: list[Row] = []
    for value in values:
        lowered = {str(name).lower(): item for name, item in value.items()}
        audio = _first(lowered, "path")
        if audio is None:
            if not any(name in lowered for name in COLUMNS["path"]):
                needed = " or ".join(COLUMNS["path"][:3])
                raise DataError(f"{path}: no column {needed} among {', '.join(value)}; add one with the file names")
            left_out.append(LeftOut(str(path), f"a row names no file: {str(dict(value))[:60]}"))
            continue
        try:
            check_unchanged(lowered)
            rows.append(Row(audio, _labels(lowered), _span(lowered)))
        except (ValueError, OverflowError) as error:
            left_out.append(LeftOut(str(path.parent / audio), f"is named in {path.name}, but {error}"))
    return _from_channel_0(rows, path, left_out)


def _first(values: Mapping[str, Any], key: str) -> str | None:
    return next((found for name in COLUMNS[key] if (found := absent(values.get(name)))), None)


def _labels(values: Mapping[str, Any]) -> dict[str, Any]:
    labels: dict[str, Any] = {key: _first(values, key) for key in COLUMNS if key not in ("path", "split")}
    # A column "subset" may say something else (clean, XL); one called "split" must be understood.
    return {**labels, "split": known_split(values.get("split")) or split_name(_first(values, "split"))}


def _span(values: Mapping[str, Any]) -> dict[str, Any]:
    """The stretch and the channel that a row means. A duration without a start is a claim about the whole file."""
    start, end = _time(values, _STARTS), _time(values, _ENDS)
    length = _time(values, _LENGTHS)
    span: dict[str, Any] = {}
    if start is not None or end is not None:
        span["offset_s"] = start or 0.0
        if end is not None:
            length = end - (start or 0.0)
        if length is not None and length <= 0:
            raise ValueError(f"ends at {end} s, before it starts at {start} s")
        span["duration_s"] = length
    elif length is not None:
        span["claimed_length"] = length
    channel = str(values.get("channel", "")).strip().lower()
    if channel.isdecimal() or channel in _CHANNELS:
        span["channel"] = int(channel) if channel.isdecimal() else _CHANNELS[channel]
    return {key: value for key, value in span.items() if value is not None}


def _time(values: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        for unit, scale in _UNITS.items():
            if absent(values.get(name + unit)) is not None:
                return scale * seconds(values[name + unit], name + unit)
    return None


def _from_channel_0(rows: list[Row], path: Path, left_out: list[LeftOut]) -> list[Row]:
    """Refuse channels that may be counted from 1: without a channel 0 nobody knows which one is meant."""
    channels = {row.span["channel"] for row in rows if "channel" in row.span}
    if not channels or 0 in channels:
        return rows
    kept = [row for row in rows if "channel" not in row.span]
    reason = f"channel {{}} of {path.name} may count from 1; count channels from 0"
    left_out += [
        LeftOut(str(path.parent / row.path), reason.format(row.span["channel"]))
        for row in rows
        if "channel" in row.span
    ]
    return kept
