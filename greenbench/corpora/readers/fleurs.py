"""FLEURS as published: ``LANG/{train,dev,test}.tsv`` without a header, audio in ``LANG/audio/{train,dev,test}``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, with_ids
from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_SPLITS = {"train": "train", "dev": "valid", "test": "test"}
_FILE, _RAW_TEXT = 1, 2
_MIN_COLUMNS = 6


def _languages(root: Path) -> list[Path]:
    folders = [root, *sorted(p for p in root.glob("*") if p.is_dir() and not p.name.startswith("."))]
    return [f for f in folders if (f / "audio").is_dir() and any((f / f"{name}.tsv").is_file() for name in _SPLITS)]


def matches(root: Path) -> bool:
    """Whether the folder is one language of FLEURS, or holds several."""
    return bool(_languages(root))


def read(argument: str) -> Listing:
    """Read one language or a folder of several; the language is the folder's name. FLEURS names no speakers."""
    root = Path(argument).expanduser()
    languages = _languages(root)
    if not languages:
        raise DataError(f"{root}: holds no audio/ with train.tsv; give a FLEURS folder such as fleurs/de_de")
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    names = Names()
    for folder in languages:
        for name, split in _SPLITS.items():
            table = folder / f"{name}.tsv"
            if table.is_file():
                entries += _table(table, split, names, left_out)
    return Listing(root.resolve().name, with_ids(entries), tuple(left_out))


def _table(table: Path, split: str, names: Names, left_out: list[LeftOut]) -> list[Entry]:
    entries = []
    folder, language = table.parent / "audio" / table.stem, table.parent.resolve().name
    for number, line in read_lines(table):
        columns = line.split("\t") if line is not None else []
        if len(columns) < _MIN_COLUMNS:
            found = "is not UTF-8" if line is None else f"has {len(columns)} columns, FLEURS has 6 or 7"
            if line != "":
                left_out.append(LeftOut(f"{table} line {number}", found))
            continue
        try:
            audio = names.find(columns[_FILE], folder, within=folder)
        except NotFoundError as error:
            left_out.append(LeftOut(str(folder / columns[_FILE]), error.of_row(table.name)))
            continue
        entries.append(Entry(audio, split=split, language=language, text=absent(columns[_RAW_TEXT])))
    return entries
