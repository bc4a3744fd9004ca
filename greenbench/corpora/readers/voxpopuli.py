"""VoxPopuli's transcribed part: ``LANG/asr_{train,dev,test}.tsv`` and ``LANG/YEAR/ID.ogg``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, path_id, short_ids, split_name
from greenbench.corpora.readers.tables import read_rows
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError


def _tables(root: Path) -> list[Path]:
    return sorted([*root.glob("asr_*.tsv"), *root.glob("*/asr_*.tsv")])


def matches(root: Path) -> bool:
    """Return whether the folder has VoxPopuli's tables."""
    return bool(_tables(root))


def read(argument: str) -> Listing:
    """Read one language or several; ids, speakers and normalised texts come from the tables."""
    root = Path(argument).expanduser()
    tables = _tables(root)
    if not tables:
        raise DataError(f"{root}: holds no asr_train.tsv; give VoxPopuli's folder transcribed_data or one language")
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for table in tables:
        files = {path.stem: path for path in sorted(table.parent.rglob("*.ogg"))}
        for row in read_rows(table):
            name = row.get("id", "")
            if name not in files:
                left_out.append(LeftOut(str(table.parent / f"{name}.ogg"), f"is named in {table.name} but missing"))
                continue
            text = absent(row.get("normalized_text")) or absent(row.get("raw_text"))
            entries.append(
                Entry(
                    path=str(files[name]),
                    id=path_id(files[name]),
                    split=split_name(table.stem),
                    text=text,
                    speaker=absent(row.get("speaker_id")),
                    language=table.parent.resolve().name,
                )
            )
    return Listing(root.resolve().name, short_ids(entries), tuple(left_out))
