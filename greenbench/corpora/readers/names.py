"""Find the audio file that a table names, as other systems and people write names, without ever guessing.

macOS stores accents as characters of their own (NFD), Windows separates folders by backslashes and ignores case, tools
escape spaces as in a URL, and audio is converted after its table was written. Each such difference is allowed for
only where exactly one file is left that the name can mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from greenbench.corpora.readers.suffixes import composed, stem_of

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")


class NotFoundError(Exception):
    """No file, or more than one, is meant by a name; the message is a reason to leave the row out."""

    def of_row(self, table: str) -> str:
        """The reason for a row of a table."""
        return f"is named in {table} but {str(self).removeprefix('is ')}"


def _folded(text: str) -> str:
    return composed(composed(text).casefold())


class Names:
    """Looks names up in the folders on the disk; each folder is listed once."""

    def __init__(self) -> None:
        self._listings: dict[str, frozenset[str]] = {}
        self._keyed: dict[tuple[str, Callable[[str], str], bool], dict[str, list[str]]] = {}

    def find(self, name: str, base: Path, *, within: Path | None = None, also: Path | None = None) -> str:
        """The path of the file that ``name`` means, relative to ``base``.

        ``within`` refuses relative names that climb out of a folder by ``..``; ``also`` is a second folder that a
        relative name may start from. Raises :class:`NotFoundError`.
        """
        for start in (base, also) if also is not None else (base,):
            spellings = _spellings(name)
            candidates = [os.path.normpath(start / spelling) for spelling in spellings]
            if within is not None and any(".." in spelling for spelling in spellings) and not name.startswith("/"):
                limit = os.path.normpath(within.absolute())
                if not all(Path(path).absolute().is_relative_to(limit) for path in candidates):
                    raise NotFoundError("leaves the folder of its manifest by '..'; write its absolute path")
            for match in (self._exact, self._composed, self._any_case, self._other_suffix):
                for path in candidates:
                    if found := match(path):
                        return found
        raise NotFoundError("is missing")

    def _exact(self, path: str) -> str | None:
        folder, name = os.path.split(path)
        return path if name in self._listing(folder) else None

    def _composed(self, path: str) -> str | None:
        return self._only(path, composed, whole=True)

    def _any_case(self, path: str) -> str | None:
        return self._only(path, _folded, whole=True)

    def _other_suffix(self, path: str) -> str | None:
        return self._only(path, composed, whole=False) or self._only(path, _folded, whole=False)

    def _only(self, path: str, key: Callable[[str], str], *, whole: bool) -> str | None:
        """The one file of a folder whose name has the same key; ``whole=False`` compares names without suffix."""
        folder, name = os.path.split(path)
        real = self._folder(folder, key)
        if real is None:
            return None
        found = self._keys(real, key, whole=whole).get(key(name if whole else stem_of(name)), [])
        if len(found) > 1:
            raise NotFoundError(f"can mean {' or '.join(sorted(found)[:3])}; write the name as it is")
        return f"{real}/{found[0]}" if found else None

    def _folder(self, folder: str, key: Callable[[str], str]) -> str | None:
        """A folder by its path or, level by level, by names of the same key."""
        try:
            if Path(folder).is_dir():
                return folder
        except OSError:  # a name longer than any file system takes
            return None
        above, name = os.path.split(folder)
        parent = self._folder(above, key) if name else None
        if parent is None:
            return None
        found = [item for item in self._listing(parent) if key(item) == key(name) and Path(parent, item).is_dir()]
        return str(Path(parent, found[0])) if len(found) == 1 else None

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(entry.name for entry in os.scandir(folder or "."))
            except (OSError, ValueError):
                self._listings[folder] = frozenset()
        return self._listings[folder]

    def _keys(self, folder: str, key: Callable[[str], str], *, whole: bool) -> dict[str, list[str]]:
        """The names of a folder by key; without suffix only those of audio files."""
        index = (folder, key, whole)
        if index not in self._keyed:
            keys: dict[str, list[str]] = {}
            for name in self._listing(folder):
                if whole:
                    keys.setdefault(key(name), []).append(name)
                elif stem_of(name) != name and not name.startswith("."):
                    keys.setdefault(key(stem_of(name)), []).append(name)
            self._keyed[index] = keys
        return self._keyed[index]


def _spellings(name: str) -> list[str]:
    """A name as it is and, behind, as its writer may have meant it."""
    if found := _SCHEME.match(name):
        if found[1].lower() != "file":
            raise NotFoundError(f"is on {found[1]}://; only local files are read")
        return [unquote(name[len(found[0]) :].removeprefix("localhost"))]
    spellings = [str(Path.home() / name[2:])] if name.startswith("~/") else [name]
    if "\\" in name:
        spellings.append(name.replace("\\", "/"))
    if "%" in name:
        spellings += [unquote(spelling) for spelling in tuple(spellings)]
    return spellings
