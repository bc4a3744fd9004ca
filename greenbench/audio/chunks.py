"""Containers of chunks with a length each: RIFF and RF64 WAV, Wave64, AIFF, CAF, and Sun's AU with one length."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from greenbench.audio.finding import WHOLE, Finding, goes_on, truncated

_UNKNOWN_FROM = 0x7FFF0000
"""Lengths from here on stand for "not known" (SoX writes 0x7ffff000, FFmpeg 0xffffffff, others 0x7fffffff)."""

_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
_JUNK_S = 0.1
"""So much after the audio may be anything, for example a tag; more of it could be speech."""


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    length: int
    begin: int


def riff(file: BinaryIO, size: int) -> Finding:
    """Examine RIFF or RF64 WAV, whose ``ds64`` chunk holds the length that 32 bits cannot."""
    long_length, bytes_per_s = 0, 0
    for chunk in _chunks(file, 12, size, "<4sI"):
        if chunk.name == b"ds64":
            long_length = struct.unpack("<Q", _bytes(file, chunk.begin + 8, 8))[0]
        elif chunk.name == b"fmt ":
            bytes_per_s = struct.unpack("<I", _bytes(file, chunk.begin + 8, 4))[0]
        elif chunk.name == b"data":
            length = long_length if chunk.length == 0xFFFFFFFF and long_length else chunk.length
            rest = size - chunk.begin
            if length == 0 and rest > _JUNK_S * bytes_per_s and not _are_chunks(file, chunk.begin, size, "<4sI"):
                # Nobody came back to fill in the length.
                return Finding(patch=(chunk.begin - 4, struct.pack("<I", min(rest, 0xFFFFFFFF))))
            if length >= _UNKNOWN_FROM and length > rest and (length == chunk.length or length >= 1 << 62):
                return WHOLE
            return _rest(file, chunk.begin + length, size, "<4sI", bytes_per_s, (b"RIFF", b"RF64"))
    return WHOLE


def wave64(file: BinaryIO, size: int) -> Finding:
    """Examine Sony's Wave64: names are GUIDs, lengths have 64 bits and count their own header of 24 bytes."""
    position = 40
    while position + 24 <= size:
        name, length = struct.unpack("<16sQ", _bytes(file, position, 24))
        end = position + length
        if name == _W64_DATA:
            rest = size - end
            if rest < 0:
                return truncated(-rest)
            if _bytes(file, -(-end // 8) * 8, 4) == b"riff":
                return goes_on("a second recording", rest)
            return WHOLE
        if length < 24:
            break
        position += -(-length // 8) * 8
    return WHOLE


def aiff(file: BinaryIO, size: int) -> Finding:
    """Examine AIFF and AIFF-C."""
    for chunk in _chunks(file, 12, size, ">4sI"):
        if chunk.name == b"SSND":
            if 0 < chunk.length < _UNKNOWN_FROM:
                return _rest(file, chunk.begin + chunk.length, size, ">4sI", 0, (b"FORM",))
            return WHOLE
    return WHOLE


def au(file: BinaryIO, size: int) -> Finding:
    """Examine Sun's AU: one header with the audio's begin and length, the largest number for "not known"."""
    begin, length = struct.unpack(">II", _bytes(file, 4, 8))
    if length in (0, 0xFFFFFFFF):
        return WHOLE
    rest = size - begin - length
    if rest < 0:
        return truncated(-rest)
    return goes_on("more audio or something else", rest) if rest > 1 else WHOLE


def caf(file: BinaryIO, size: int) -> Finding:
    """Examine Apple's CAF: 64-bit lengths, -1 for "up to the end"."""
    position = 8
    while position + 12 <= size:
        name, length = struct.unpack(">4sq", _bytes(file, position, 12))
        if length < 0:
            break
        position += 12 + length
        if name == b"data" and position > size:
            return truncated(position - size)
        if name == b"data" and _bytes(file, position, 4) == b"caff":
            return goes_on("a second recording", size - position)
    return WHOLE


def _rest(file: BinaryIO, end: int, size: int, layout: str, bytes_per_s: int, second: tuple[bytes, ...]) -> Finding:
    """Judge what follows the audio: nothing, further chunks, junk, or another recording."""
    if end > size:
        return truncated(end - size)
    end += end % 2  # chunks begin at even places
    if _bytes(file, end, 4) in second:
        return goes_on("a second recording", size - end)
    if size - end > max(_JUNK_S * bytes_per_s, 128) and not _are_chunks(file, end, size, layout):
        return goes_on("no chunk", size - end)
    return WHOLE


def _chunks(file: BinaryIO, position: int, size: int, layout: str) -> Iterator[_Chunk]:
    while position + 8 <= size:
        name, length = struct.unpack(layout, _bytes(file, position, 8))
        yield _Chunk(name, length, position + 8)
        position += 8 + length + length % 2


def _are_chunks(file: BinaryIO, position: int, size: int, layout: str) -> bool:
    """Whether whole chunks with printable names fill the file from here, or zeros do."""
    if not any(_bytes(file, position, min(size - position, 1 << 16))):
        return True
    for chunk in _chunks(file, position, size, layout):
        if not all(32 <= letter < 127 for letter in chunk.name):
            return False
        position = chunk.begin + chunk.length
    return position in (size - 1, size) or 0 < size - position < 8


def _bytes(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position, os.SEEK_SET)
    return file.read(count)
