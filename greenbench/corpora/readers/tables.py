"""Tables of labels: CSV, TSV or JSON lines, in the column names that people use."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import absent, split_name
from greenbench.corpora.readers.jsonl import open_text, read_objects
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


@dataclass(frozen=True)
class Row:
    """One row: the audio's path as written, and the labels of an :class:`Entry`."""

    path: str
    labels: dict[str, Any]


def find_tables(root: Path) -> list[Path]:
    """Return the tables of a folder and of the folders in it (Hugging Face's audiofolder has one a split)."""
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))]
    return [folder / name for folder in folders for name in TABLES if (folder / name).is_file()]


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV or TSV file as dictionaries; the separator is the one its header uses most."""
    with open_text(path) as file:
        try:
            header = file.readline()
            separator = max("\t,|;", key=header.count)
            # Tab-separated corpora write quotation marks as they are spoken, not to protect a field.
            quoting: Any = csv.QUOTE_NONE if separator in "\t|" else csv.QUOTE_MINIMAL
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
            if separator == "|" and not set(names) & set(COLUMNS["path"]):
                # LJSpeech's table has no header: id|text as written|text as spoken.
                yield dict(zip(_LJSPEECH, names, strict=False))
                names = list(_LJSPEECH)
            for row in csv.reader(file, delimiter=separator, quoting=quoting):
                if row:
                    yield dict(zip(names, row, strict=False))
        except (UnicodeDecodeError, csv.Error, StopIteration) as error:
            raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 CSV or TSV") from error


def read_table(path: Path) -> Iterator[Row]:
    """Yield the rows of a table with a column for the audio's path; raises :class:`DataError` without one."""
    rows = (value for _, value in read_objects(path)) if path.suffix == ".jsonl" else read_rows(path)
    for row in rows:
        lowered = {name.lower(): value for name, value in row.items()}
        values = {
            key: next((found for name in names if (found := absent(lowered.get(name)))), None)
            for key, names in COLUMNS.items()
        }
        audio = values.pop("path")
        if audio is None:
            needed = " or ".join(COLUMNS["path"][:3])
            raise DataError(f"{path}: no column {needed} among {', '.join(row)}; add one with the file names")
        yield Row(audio, {**values, "split": split_name(values["split"])})
