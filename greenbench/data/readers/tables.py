"""Tables of labels: CSV or TSV with a header, in the column names that people use."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from greenbench.data.readers.entry import SPLIT_NAMES
from greenbench.data.readers.jsonl import open_text
from greenbench.errors import DataError

TABLES = ("manifest.tsv", "metadata.csv", "metadata.tsv", "manifest.csv", "metadata.txt")

COLUMNS = {
    "path": ("path", "file_name", "filename", "file", "audio", "audio_filepath", "wav", "clip"),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "reader"),
    "language": ("language", "lang", "locale"),
    "split": ("split", "subset", "partition"),
    "keyword": ("keyword", "label", "command", "word"),
}


@dataclass(frozen=True)
class Row:
    """One row: the audio's path as written, and the labels of an :class:`Entry`."""

    path: str
    labels: dict[str, str | None]


def find_table(root: Path) -> Path | None:
    """Return the folder's table of labels, if it has one."""
    return next((root / name for name in TABLES if (root / name).is_file()), None)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV or TSV file as dictionaries; the separator is the one its header uses most."""
    with open_text(path) as file:
        try:
            header = file.readline()
            separator = max("\t,|;", key=header.count)
            # Tab-separated corpora write quotation marks as they are spoken, not to protect a field.
            quoting = csv.QUOTE_NONE if separator in "\t|" else csv.QUOTE_MINIMAL
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
            for row in csv.reader(file, delimiter=separator, quoting=quoting):
                if row:
                    yield dict(zip(names, row, strict=False))
        except (UnicodeDecodeError, csv.Error, StopIteration) as error:
            raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 CSV or TSV") from error


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a table with a column for the audio's path; raises :class:`DataError` without one."""
    for row in read_rows(path):
        lowered = {name.lower(): value for name, value in row.items()}
        values = {key: _first(lowered, names) for key, names in COLUMNS.items()}
        audio = values.pop("path")
        if audio is None:
            raise DataError(
                f"{path}: no column {' or '.join(COLUMNS['path'][:3])} in {', '.join(row)}; add one with the file names"
            )
        split = values.pop("split")
        labels = {**values, "split": SPLIT_NAMES.get(split.lower()) if split else None}
        yield Row(audio, labels)


def _first(row: dict[str, str], names: tuple[str, ...]) -> str | None:
    value = next((row[name] for name in names if name in row), None)
    return value.strip() or None if value is not None else None
