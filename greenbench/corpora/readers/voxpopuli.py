"""VoxPopuli's transcribed part: ``LANG/asr_{train,dev,test}.tsv`` and ``LANG/YEAR/ID.ogg``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, absent, with_ids
from greenbench.corpora.readers.split_names import split_name
from greenbench.corpora.readers.suffixes import stem_of
from greenbench.corpora.readers.tables import read_rows
from greenbench.corpora.readers.tree import scan_tree
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError


def _tables(root: Path) -> list[Path]:
    found = [*root.glob("asr_*.tsv"), *root.glob("*/asr_*.tsv")]
    return sorted(path for path in found if not path.parent.name.startswith("."))


def matches(root: Path) -> bool:
    """Whether the folder has VoxPopuli's tables."""
    return bool(_tables(root))


def read(argument: str) -> Listing:
    """Read one language or several; ids, speakers and normalised texts come from the tables."""
    root = Path(argument).expanduser()
    tables = _tables(root)
    if not tables:
        raise DataError(f"{root}: holds no asr_train.tsv; give VoxPopuli's folder transcribed_data or one language")
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    by_language: dict[Path, dict[str, list[str]]] = {}
    for table in tables:
        if table.parent not in by_language:
            by_language[table.parent] = _audio_by_name(table.parent)
        for row in read_rows(table, left_out):
            name = row.get("id", "")
            found = by_language[table.parent].get(name, [])
            if len(found) != 1:
                reason = "missing" if not found else f"can mean {' or '.join(sorted(found)[:3])}"
                left_out.append(LeftOut(str(table.parent / f"{name}.ogg"), f"is named in {table.name} but {reason}"))
                continue
            text = absent(row.get("normalized_text")) or absent(row.get("raw_text"))
            split, language = split_name(table.stem), table.parent.resolve().name
            speaker = absent(row.get("speaker_id"))
            entries.append(Entry(found[0], split=split, text=text, speaker=speaker, language=language))
    return Listing(root.resolve().name, with_ids(entries), tuple(left_out))


def _audio_by_name(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in scan_tree(folder).audio:
        found.setdefault(stem_of(path.name), []).append(str(path))
    return found
