"""Common Voice as it is unpacked: ``clips/`` and one TSV a split. It is read from a local folder, never fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, with_ids
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.tables import read_rows
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_TABLES = {"train.tsv": "train", "dev.tsv": "valid", "test.tsv": "test", "validated.tsv": "pretrain"}


def matches(root: Path) -> bool:
    """Whether the folder has clips and a table."""
    return (root / "clips").is_dir() and any((root / name).is_file() for name in _TABLES)


def read(argument: str) -> Listing:
    """Read one language's folder. Clips that are validated but in no split are pretrained on, without labels."""
    root = Path(argument).expanduser()
    if not matches(root):
        raise DataError(
            f"{root}: holds no clips/ with train.tsv; give one language's folder of a Common Voice release, for "
            "example cv-corpus/de"
        )
    entries: dict[str, Entry] = {}
    left_out: list[LeftOut] = []
    names = Names()
    for name, split in _TABLES.items():
        if not (root / name).is_file():
            continue
        for row in read_rows(root / name, left_out):
            if "path" not in row:
                raise DataError(f"{root / name}: no column 'path' in {', '.join(row)}; it is no Common Voice table")
            try:
                entry = _entry(row, root, split, names)
            except NotFoundError as error:
                left_out.append(LeftOut(str(root / "clips" / row["path"]), error.of_row(name)))
                continue
            # A clip of a split is in validated.tsv too: the split goes first. One of train and test is for testing.
            known = entries.get(entry.path)
            if known is None or (known.split == "train" and split in ("valid", "test")) or split == "test":
                entries[entry.path] = entry
    return Listing(root.resolve().name, with_ids(entries.values()), tuple(left_out))


def _entry(row: Mapping[str, str], root: Path, split: str, names: Names) -> Entry:
    return Entry(
        path=names.find(row["path"], root / "clips", within=root),
        split=split,
        speaker=absent(row.get("client_id")),
        language=absent(row.get("locale")) or root.resolve().name,
        text=absent(row.get("sentence")),
    )
