"""fairseq's TSV: the audio's root on the first line, then ``relative path<TAB>samples``; texts in ``.wrd``/``.ltr``."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, path_id, with_ids
from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import SPLIT_NAMES
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_COUNT = re.compile(r"[0-9]{1,15}")


def matches_file(path: Path) -> bool:
    """Whether a file looks like one: a folder alone, then lines of two columns with a number."""
    head, line = ([text or "" for _, text in itertools.islice(read_lines(path), 2)] + ["", ""])[:2]
    columns = line.split("\t")
    return bool(head.strip()) and "\t" not in head and len(columns) == 2 and columns[1].isdigit()


def matches(root: Path) -> bool:
    """Whether a folder holds such manifests by the names fairseq looks for."""
    return any(matches_file(path) for path in _manifests(root))


def _manifests(root: Path) -> list[Path]:
    return [path for name in SPLIT_NAMES if (path := root / f"{name}.tsv").is_file()]


def read(argument: str) -> Listing:
    """Read one TSV, or train, valid and test of a folder."""
    path = Path(argument).expanduser()
    manifests = _manifests(path) if path.is_dir() else [path]
    if not manifests:
        raise DataError(f"{path}: holds no train.tsv; give a fairseq manifest or the folder that holds it")
    left_out: list[LeftOut] = []
    names = Names()
    entries = [entry for manifest in manifests for entry in _read_file(manifest, names, left_out)]
    return Listing(path.resolve().stem, with_ids(entries), tuple(left_out))


def _read_file(path: Path, names: Names, left_out: list[LeftOut]) -> list[Entry]:
    lines = list(read_lines(path))
    if not lines or not lines[0][1]:
        raise DataError(f"{path}: is empty; its first line must be the audio's folder")
    root = Path(lines[0][1])
    if not root.is_absolute():
        root = path.parent / root
    lines = [(number, line) for number, line in lines[1:] if line is None or line.strip()]
    texts = _texts(path, len(lines), left_out)
    entries = []
    for (number, line), text in zip(lines, texts, strict=True):
        name, _, samples = (line or "").partition("\t")
        if not _COUNT.fullmatch(samples.strip()):
            found = "not UTF-8" if line is None else repr(line[:60])
            left_out.append(LeftOut(f"{path} line {number}", f"expected 'path<TAB>samples', found {found}"))
            continue
        try:
            audio = names.find(name, root, within=root)
        except NotFoundError as error:
            left_out.append(LeftOut(str(root / name), error.of_row(path.name)))
            continue
        split = SPLIT_NAMES.get(path.stem.lower())
        entries.append(Entry(audio, path_id(audio, root), split=split, text=text, expected_samples=int(samples)))
    return entries


def _texts(path: Path, count: int, left_out: list[LeftOut]) -> list[str | None]:
    """The lines of the transcript beside the manifest: words as they are, or letters with ``|`` for a space."""
    for suffix in (".wrd", ".ltr"):
        transcript = path.with_suffix(suffix)
        if not transcript.is_file():
            continue
        lines = list(read_lines(transcript))
        if len(lines) != count:
            raise DataError(f"{transcript}: {len(lines)} lines for {count} recordings in {path.name}; make it again")
        left_out += [
            LeftOut(f"{transcript} line {n}", "is not UTF-8; its recording has no text")
            for n, line in lines
            if line is None
        ]
        texts = [line or "" for _, line in lines]
        if suffix == ".ltr":
            texts = [text.replace(" ", "").replace("|", " ") for text in texts]
        return [text.strip() or None for text in texts]
    return [None] * count
