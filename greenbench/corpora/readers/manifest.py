"""``manifest:FILE``: the format is recognised by the file's first lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from greenbench.corpora.readers import fairseq, jsonl, lhotse, nemo
from greenbench.corpora.readers.entry import Entry, Listing, path_id, short_ids
from greenbench.corpora.readers.tables import read_table
from greenbench.errors import DataError

_JSON_KEYS: dict[str, Callable[[str], Listing]] = {
    "audio_filepath": nemo.read,
    "sources": lhotse.read,
    "recording": lhotse.read,
}
_TABLE_SUFFIXES = (".tsv", ".csv", ".txt")


def read(argument: str) -> Listing:
    """Read our JSONL, NeMo's, lhotse's, a fairseq TSV, or any table with a column for the path."""
    path = Path(argument).expanduser()
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path}: {found}; give a manifest file, or a folder as data = 'folder:PATH'")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in _TABLE_SUFFIXES:
        return fairseq.read(argument) if fairseq.matches_file(path) else _read_table(path)
    _, first = next(jsonl.read_objects(path), (0, None))
    if first is None:
        raise DataError(f"{path}: is empty; a manifest has one JSON object or one table row a line")
    for key, reader in _JSON_KEYS.items():
        if key in first:
            return reader(argument)
    if "recording_id" in first:
        raise DataError(f"{path}: lhotse supervisions name no audio; give the recordings or the cuts")
    if "path" not in first:
        keys = ", ".join(list(first)[:6])
        raise DataError(f"{path} line 1: no key path, audio_filepath, sources or recording among {keys}")
    return Listing(path.resolve().name.partition(".")[0], short_ids(jsonl.read_entries(path)))


def _read_table(path: Path) -> Listing:
    entries = [
        Entry(path=str(path.parent / row.path), id=path_id(path.parent / row.path), **row.labels)
        for row in read_table(path)
    ]
    return Listing(path.resolve().stem, short_ids(entries))
