"""fairseq's TSV: the audio's root on the first line, then ``relative path<TAB>samples``; texts in ``.wrd``/``.ltr``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.readers.entry import SPLIT_NAMES, Entry, Listing, path_id, short_ids
from greenbench.corpora.readers.jsonl import open_text
from greenbench.errors import DataError


def matches_file(path: Path) -> bool:
    """Return whether a file looks like one: a folder alone, then lines of two columns with a number."""
    with open_text(path) as file:
        head, line = file.readline().strip(), file.readline().rstrip("\n").split("\t")
    return bool(head) and "\t" not in head and len(line) == 2 and line[1].isdigit()


def matches(root: Path) -> bool:
    """Return whether a folder holds such manifests by the names fairseq looks for."""
    return any(matches_file(path) for path in _manifests(root))


def _manifests(root: Path) -> list[Path]:
    return [path for name in SPLIT_NAMES if (path := root / f"{name}.tsv").is_file()]


def read(argument: str) -> Listing:
    """Read one TSV, or train, valid and test of a folder."""
    path = Path(argument).expanduser()
    manifests = _manifests(path) if path.is_dir() else [path]
    if not manifests:
        raise DataError(f"{path}: holds no train.tsv; give a fairseq manifest or the folder that holds it")
    entries = [entry for manifest in manifests for entry in _read_file(manifest)]
    return Listing(path.resolve().stem, short_ids(entries))


def _read_file(path: Path) -> list[Entry]:
    with open_text(path) as file:
        lines = [line.rstrip("\n") for line in file]
    if not lines:
        raise DataError(f"{path}: is empty; its first line must be the audio's folder")
    root = Path(lines[0])
    if not root.is_absolute():
        root = path.parent / root
    lines = [line for line in lines[1:] if line.strip()]
    texts = _texts(path, len(lines))
    entries = []
    for number, line in enumerate(lines):
        name, _, samples = line.partition("\t")
        if not samples.strip().isdigit():
            raise DataError(f"{path} line {number + 2}: expected 'path<TAB>samples', found {line[:60]!r}")
        entries.append(
            Entry(
                path=str(root / name),
                id=path_id(root / name, root),
                split=SPLIT_NAMES.get(path.stem.lower()),
                text=texts[number],
                expected_samples=int(samples),
            )
        )
    return entries


def _texts(path: Path, count: int) -> list[str | None]:
    """Return the lines of the transcript beside the manifest: words as they are, or letters with ``|`` for a space."""
    for suffix in (".wrd", ".ltr"):
        transcript = path.with_suffix(suffix)
        if not transcript.is_file():
            continue
        lines = transcript.read_text(encoding="utf-8").splitlines()
        if len(lines) != count:
            raise DataError(f"{transcript}: {len(lines)} lines for {count} recordings in {path.name}; make it again")
        if suffix == ".ltr":
            lines = [line.replace(" ", "").replace("|", " ") for line in lines]
        return [line.strip() or None for line in lines]
    return [None] * count
