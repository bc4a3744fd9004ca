"""``manifest:FILE``: the format is recognised by the file's first lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from greenbench.corpora.readers import fairseq, jsonl, lhotse, nemo
from greenbench.corpora.readers.entry import Listing, with_ids
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.tables import read_table
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_JSON_KEYS: dict[str, Callable[[str], Listing]] = {
    "audio_filepath": nemo.read,
    "sources": lhotse.read,
    "recording": lhotse.read,
    "tracks": lhotse.read,
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
    left_out: list[LeftOut] = []
    number, first = next(jsonl.read_objects(path, left_out), (0, None))
    if first is None:
        wrong = left_out[0] if left_out else LeftOut(str(path), "is empty; a manifest has one JSON object a line")
        raise DataError(f"{wrong.path}: {wrong.reason}")
    for key, reader in _JSON_KEYS.items():
        if key in first:
            return reader(argument)
    if str(first.get("type")).endswith("Cut"):
        return lhotse.read(argument)
    if "recording_id" in first:
        raise DataError(f"{path}: lhotse supervisions name no audio; give the recordings or the cuts")
    if "path" not in first:
        keys = ", ".join(list(first)[:6])
        raise DataError(f"{path} line {number}: no key path, audio_filepath, sources or recording among {keys}")
    left_out.clear()
    entries = jsonl.read_entries(path, left_out)
    return Listing(path.resolve().name.partition(".")[0], with_ids(entries, path.parent), tuple(left_out))


def _read_table(path: Path) -> Listing:
    left_out: list[LeftOut] = []
    names, entries = Names(), []
    for row in read_table(path, left_out):
        try:
            entries.append(row.entry(names.find(row.path, path.parent, within=path.parent)))
        except NotFoundError as error:
            left_out.append(LeftOut(str(path.parent / row.path), error.of_row(path.name)))
    return Listing(path.resolve().stem, with_ids(entries), tuple(left_out))
