"""Where data files lie: cards and corpus in the wheel or a checkout, CodeCarbon's tables, the user's cache."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def share(room: str) -> Path:
    """The folder ``models`` or ``data`` that ships with this greenbench.

    An installed wheel carries them under ``greenbench/_share``; a checkout has them at its top level.
    """
    for root in (_PACKAGE / "_share", _PACKAGE.parent):
        folder = root / room
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"greenbench was installed without its {room!r} folder; reinstall it")


def cache_dir() -> Path:
    """The folder for decoded audio and other derived data (``$GREENBENCH_CACHE``, else the XDG cache)."""
    explicit = os.environ.get("GREENBENCH_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "greenbench"


def codecarbon_data() -> Path | None:
    """CodeCarbon's data folder without importing CodeCarbon; None where it is not installed."""
    spec = importlib.util.find_spec("codecarbon")
    locations = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(locations))) / "data" if locations else None
    return folder if folder is not None and folder.is_dir() else None
