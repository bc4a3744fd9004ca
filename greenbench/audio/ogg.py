"""Ogg's pages (RFC 3533): whether the last one is there, and whether a second recording follows the first."""

from __future__ import annotations

import os
from typing import BinaryIO

from greenbench.audio.finding import WHOLE, Finding

_BEGINS, _ENDS = 2, 4


def examine(file: BinaryIO, size: int) -> Finding:
    """Walk over all pages; only their headers are read."""
    position, flags, started = 0, 0, False
    while position < size:
        file.seek(position, os.SEEK_SET)
        header = file.read(27)
        if header[:4] != b"OggS":
            # A tag or zeros at the end; damage in the middle is the decoder's to find.
            return WHOLE if flags & _ENDS else Finding("is truncated or damaged (its Ogg pages break off)")
        if len(header) < 27:
            return Finding("is truncated (its last Ogg page is cut off)")
        flags, segments = header[5], header[26]
        if flags & _BEGINS and started:
            return Finding("holds several recordings one after the other (chained Ogg); split it, for example by oggz")
        started = started or not flags & _BEGINS
        table = file.read(segments)
        position += 27 + segments + sum(table)
        if len(table) < segments or position > size:
            return Finding("is truncated (its last Ogg page is cut off)")
    return WHOLE if flags & _ENDS else Finding("is truncated (no Ogg page is marked as the last)")
