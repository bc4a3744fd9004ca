"""Which public corpus a folder is laid out as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from greenbench.corpora.readers import common_voice, fairseq, fleurs, librispeech, voxpopuli
from greenbench.corpora.readers.entry import Listing

_LAYOUTS = (librispeech, common_voice, fleurs, voxpopuli, fairseq)


def recognise(root: Path) -> Callable[[str], Listing] | None:
    """Return the reader of a public corpus' layout, if the folder has one."""
    return next((layout.read for layout in _LAYOUTS if layout.matches(root)), None)
