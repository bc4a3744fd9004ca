"""FLEURS as published: ``LANG/{train,dev,test}.tsv`` without a header, audio in ``LANG/audio/{train,dev,test}``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, path_id, short_ids
from greenbench.corpora.readers.jsonl import open_text
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_SPLITS = {"train": "train", "dev": "valid", "test": "test"}
_FILE, _RAW_TEXT = 1, 2
_MIN_COLUMNS = 6


def _languages(root: Path) -> list[Path]:
    folders = [root, *sorted(p for p in root.glob("*") if p.is_dir())]
    return [f for f in folders if (f / "audio").is_dir() and any((f / f"{name}.tsv").is_file() for name in _SPLITS)]


def matches(root: Path) -> bool:
    """Return whether the folder is one language of FLEURS, or holds several."""
    return bool(_languages(root))


def read(argument: str) -> Listing:
    """Read one language or a folder of several; the language is the folder's name. FLEURS names no speakers."""
    root = Path(argument).expanduser()
    languages = _languages(root)
    if not languages:
        raise DataError(f"{root}: holds no audio/ with train.tsv; give a FLEURS folder such as fleurs/de_de")
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for folder in languages:
        for name, split in _SPLITS.items():
            table = folder / f"{name}.tsv"
            if table.is_file():
                found, missing = _table(table, folder / "audio" / name, split)
                entries += found
                left_out += missing
    return Listing(root.resolve().name, short_ids(entries), tuple(left_out))


def _table(table: Path, folder: Path, split: str) -> tuple[list[Entry], list[LeftOut]]:
    entries, left_out = [], []
    with open_text(table) as file:
        for number, line in enumerate(file, 1):
            columns = line.rstrip("\n").split("\t")
            if len(columns) < _MIN_COLUMNS:
                raise DataError(f"{table} line {number}: {len(columns)} columns, FLEURS has 6 or 7; restore the file")
            audio = folder / columns[_FILE]
            if not audio.is_file():
                left_out.append(LeftOut(str(audio), f"is named in {table.name} but missing"))
                continue
            language = table.parent.resolve().name
            text = absent(columns[_RAW_TEXT])
            entries.append(Entry(str(audio), path_id(audio), split=split, language=language, text=text))
    return entries, left_out
