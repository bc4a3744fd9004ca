"""LibriSpeech's layout: ``subset/speaker/chapter/speaker-chapter-number.flac`` with one ``.trans.txt`` a chapter.

Mini LibriSpeech and the limited sets of Libri-Light have the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, with_ids
from greenbench.corpora.readers.lines import read_lines
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import split_of_folders
from greenbench.corpora.readers.suffixes import stem_of
from greenbench.corpora.readers.tree import scan_tree
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_SUBSET = re.compile(r"^(train|dev|test)(-(clean|other))?(-\d+)?$")


def matches(root: Path) -> bool:
    """Whether all transcripts lie as LibriSpeech's do: ``speaker/chapter/speaker-chapter.trans.txt``.

    A folder in which one transcript lies elsewhere is not in this layout; the folder reader takes those as well.
    """
    root = root.resolve()
    found = [path for depth in range(5) for path in root.glob(f"{'*/' * depth}*.trans.txt")]
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    return bool(found) and all(_is_chapter(path) for path in found)


def _is_chapter(path: Path) -> bool:
    return path.name == f"{path.parent.parent.name}-{path.parent.name}.trans.txt"


def read(argument: str) -> Listing:
    """Read a folder in this layout, with one subset or several."""
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: does not exist; give the folder that holds the LibriSpeech subsets")
    return read_subsets(root.resolve().name, [root])


def read_subsets(name: str, folders: list[Path], *, trusted: bool = False) -> Listing:
    """Read several subsets as one corpus. Audio without a line in a transcript is kept, without a text."""
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    names = Names()
    for folder in folders:
        tree = scan_tree(folder)
        tables = sorted(tree.named(".trans.txt"))
        if not tables:
            raise DataError(f"{folder}: holds no *.trans.txt; it is not in LibriSpeech's layout")
        for path in tables:
            entries += _chapter(path, folder, names, left_out)
        named = {entry.path for entry in entries}
        entries += [_untranscribed(path, folder) for path in tree.audio if str(path) not in named]
        left_out += tree.left_out
    return Listing(name, with_ids(entries), tuple(left_out), trusted)


def transcripts(path: Path, left_out: list[LeftOut]) -> Iterator[tuple[str, str]]:
    """Yield the name (without suffix) and the text of each line of a ``.trans.txt``; the text may be empty."""
    for number, line in read_lines(path):
        if line is None:
            left_out.append(LeftOut(f"{path} line {number}", "is not UTF-8; its recording has no text"))
            continue
        name, _, text = line.strip(" \t").partition(" ")
        if name:
            yield name, text.strip()


def _chapter(path: Path, folder: Path, names: Names, left_out: list[LeftOut]) -> list[Entry]:
    entries = []
    for name, text in transcripts(path, left_out):
        try:
            audio = names.find(name, path.parent, within=path.parent)
        except NotFoundError as error:
            left_out.append(LeftOut(str(path.with_name(name)), error.of_row(path.name)))
            continue
        speaker = name.partition("-")[0]
        entries.append(Entry(audio, split=_split(path, folder), speaker=speaker, language="en", text=text or None))
    return entries


def _split(path: Path, folder: Path) -> str | None:
    """What the folders say that lie above the speaker's, up to the subset's own (``train-clean-100``).

    Folders above the corpus say nothing: it may lie in the home of somebody called ``dev``.
    """
    own = folder.resolve().name
    return split_of_folders([own] * bool(_SUBSET.match(own)) + list(path.relative_to(folder).parts[:-3]))


def _untranscribed(path: Path, root: Path) -> Entry:
    parts = stem_of(path.name).split("-")
    in_chapter = parts[:2] == [path.parent.parent.name, path.parent.name]
    split = _split(path, root) if in_chapter else split_of_folders(path.relative_to(root).parts[:-1])
    return Entry(str(path), split=split, speaker=parts[0] if in_chapter else None, language="en")
