"""Where the cards and the embedded corpus lie: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def share(room: str) -> Path:
    """Return the folder ``models`` or ``data`` that ships with this greenbench.

    An installed wheel carries them under ``greenbench/_share``; a checkout has them at its top level.
    """
    for root in (_PACKAGE / "_share", _PACKAGE.parent):
        folder = root / room
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"greenbench was installed without its {room!r} folder; reinstall it")


def cache_dir() -> Path:
    """Return the folder for decoded audio and other derived data (``$GREENBENCH_CACHE``, else the XDG cache)."""
    explicit = os.environ.get("GREENBENCH_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "greenbench"
