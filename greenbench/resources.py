"""Where data files lie: cards and tables in the package, audio beside it, the user's cache."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def share(room: str) -> Path:
    """The folder ``models`` or ``data`` that belongs to this greenbench.

    A checkout has both at its top level. Installed, the cards lie under ``greenbench/_share``, and the audio in the
    distribution ``greenbench-corpora``, which the extra ``bench`` brings.
    """
    folders = [_PACKAGE / "_share" / room, _PACKAGE.parent / room]
    if room == "data":
        folders = [folders[1], *_corpora()]
    for folder in folders:
        if folder.is_dir():
            return folder
    if room == "data":
        raise FileNotFoundError(
            "the embedded audio is not installed (distribution greenbench-corpora); "
            "pip install 'greenbench[bench]', or in a checkout: pip install '.[bench]'"
        )
    raise FileNotFoundError(f"greenbench was installed without its {room!r} folder; reinstall it")


def _corpora() -> list[Path]:
    spec = importlib.util.find_spec("greenbench_corpora")
    return [Path(place) for place in (spec.submodule_search_locations if spec else None) or ()]


def table(name: str) -> Path:
    """A table of published figures that travels in the package (``data/build_tables.py`` makes them)."""
    return _PACKAGE / "tables" / name


def cache_dir() -> Path:
    """The folder for decoded audio and other derived data (``$GREENBENCH_CACHE``, else the XDG cache)."""
    explicit = os.environ.get("GREENBENCH_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "greenbench"
