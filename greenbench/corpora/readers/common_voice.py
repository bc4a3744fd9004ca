"""Common Voice as it is unpacked: ``clips/`` and one TSV a split. It is read from a local folder, never fetched."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, path_id, short_ids
from greenbench.corpora.readers.tables import read_rows
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_TABLES = {"train.tsv": "train", "dev.tsv": "valid", "test.tsv": "test", "validated.tsv": "pretrain"}


def matches(root: Path) -> bool:
    """Return whether the folder has clips and a table."""
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
    for name, split in _TABLES.items():
        if not (root / name).is_file():
            continue
        for row in read_rows(root / name):
            entry = _entry(row, root, split)
            if entry is None:
                raise DataError(f"{root / name}: no column 'path' in {', '.join(row)}; it is no Common Voice table")
            if not Path(entry.path).is_file():
                left_out.append(LeftOut(entry.path, f"is named in {name} but missing"))
            else:
                # A clip of a split is in validated.tsv too: the split goes first.
                entries.setdefault(entry.path, entry)
    return Listing(root.resolve().name, short_ids(entries.values()), tuple(left_out))


def _entry(row: dict[str, str], root: Path, split: str) -> Entry | None:
    if "path" not in row:
        return None
    audio = root / "clips" / row["path"]
    if not audio.suffix:
        audio = audio.with_suffix(".mp3")
    return Entry(
        path=str(audio),
        id=path_id(audio),
        split=split,
        speaker=absent(row.get("client_id")),
        language=absent(row.get("locale")) or root.resolve().name,
        text=absent(row.get("sentence")),
    )
