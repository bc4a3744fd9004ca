"""The files below a folder, each once, whatever links there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.corpora.readers.lines import is_text
from greenbench.corpora.readers.split_names import split_of_folders
from greenbench.corpora.readers.suffixes import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

_TABLES_NOT_READ = frozenset({"metadata.parquet"})


@dataclass
class Tree:
    """All files below ``root`` in a stable order, hidden ones passed over; audio apart from the rest."""

    root: Path
    audio: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    """What looks like audio or labels but cannot be read."""

    def named(self, *endings: str) -> list[Path]:
        """The files other than audio whose names end like one of these."""
        return [path for path in self.others if path.name.endswith(endings)]


def scan_tree(root: Path) -> Tree:
    """List a folder. Folders that are links are followed, but none is entered twice.

    One exception: a linked folder that is called a split (``test``) is entered although its target was, because the
    name tells which recordings are for testing. Raises :class:`DataError` where ``root`` is no folder.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root}: {found}; give a folder of audio files, for example data = 'folder:recordings'")
    tree = Tree(root)
    links: list[Path] = []
    seen = {_identity(root)}
    _enter(root, tree, seen, links)
    while links:
        folder = links.pop(0)
        identity = _identity(folder)
        if identity not in seen:
            seen.add(identity)
            _enter(folder, tree, seen, links)
        elif split_of_folders(folder.relative_to(root).parts) and not root.resolve().is_relative_to(folder.resolve()):
            _enter(folder, tree, {identity}, [])
    return tree


def _enter(folder: Path, tree: Tree, seen: set[tuple[int, int]], links: list[Path]) -> None:
    for entry in _entries(folder, tree):
        path = Path(entry.path)
        if not is_text(entry.name):
            name = os.fsencode(path).decode("utf-8", "backslashreplace")
            tree.left_out.append(LeftOut(name, "has a name that is not UTF-8; rename it"))
        elif entry.is_dir(follow_symlinks=False):
            if (identity := _identity(path)) not in seen:
                seen.add(identity)
                _enter(path, tree, seen, links)
        elif entry.is_dir():
            links.append(path)
        else:
            _file(entry, path, tree)


def _entries(folder: Path, tree: Tree) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        tree.left_out.append(LeftOut(str(folder), f"cannot be listed ({error.strerror})"))


def _file(entry: os.DirEntry[str], path: Path, tree: Tree) -> None:
    suffix = path.suffix.lower()
    if suffix in UNREADABLE_SUFFIXES:
        reason = f"is {suffix[1:]}, which libsndfile does not read; convert it, for example to flac"
        tree.left_out.append(LeftOut(str(path), reason))
    elif entry.name.lower() in _TABLES_NOT_READ:
        tree.left_out.append(LeftOut(str(path), "is a table in a format that is not read; save it as metadata.csv"))
    elif suffix not in AUDIO_SUFFIXES:
        if entry.is_file():
            tree.others.append(path)
    elif entry.is_file():
        tree.audio.append(path)
    else:
        reason = "is a link to a file that is missing" if entry.is_symlink() else "is not a regular file"
        tree.left_out.append(LeftOut(str(path), reason))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
