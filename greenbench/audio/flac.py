"""FLAC (RFC 9639): the length in its header held against its last frame.

A writer that streams leaves the length at 0, which libsndfile takes for the largest number and then cannot read the
end; one that was interrupted leaves an old length, and libsndfile stops there.
"""

from __future__ import annotations

import mmap
import os
from typing import BinaryIO

from greenbench.audio.finding import WHOLE, Finding, goes_on

_LENGTH_AT = 18
"""Offset from the ``fLaC`` mark of the 8 bytes that hold rate, channels, bits and, in the last 36 bits, the samples."""

_SECOND = b"fLaC\x00\x00\x00\x22"
_BLOCK_SIZES = {1: 192, **{k: 576 << k - 2 for k in range(2, 6)}, **{k: 256 << k - 8 for k in range(8, 16)}}
_TAIL = 1 << 17


def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for value in range(256):
        crc = value << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        table.append(crc)
    return tuple(table)


_CRC8, _CRC16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)


def examine(file: BinaryIO, size: int) -> Finding:
    """Compare the header's length with the number of the last frame; the right one becomes a patch.

    The last frame is searched from the end. Its header has a checksum, and so has the frame; both must be right.
    """
    begin = _after_id3(file)
    file.seek(begin, os.SEEK_SET)
    head = file.read(42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:
        return WHOLE
    field = int.from_bytes(head[_LENGTH_AT : _LENGTH_AT + 8], "big")
    stated, fixed_size = field & (1 << 36) - 1, int.from_bytes(head[10:12], "big")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        second = data.find(_SECOND, begin + 4)
        if second >= 0:
            return goes_on("a second recording", size - second)
        end = size - 128 if data[max(0, size - 128) : max(0, size - 128) + 3] == b"TAG" else size
        held = _last_sample(data[max(begin + 42, end - _TAIL) : end], fixed_size, known=stated)
    if held == stated or (held is None and stated):
        return WHOLE  # or truncated, which decoding finds
    if held is None:
        return Finding("is truncated (its header gives no length, and it does not end with a whole frame)")
    if stated > held:
        return Finding(f"ends after {held} of {stated} samples: it is truncated")
    right = (field >> 36 << 36 | held).to_bytes(8, "big")
    return Finding(patch=(begin + _LENGTH_AT, right))


def _last_sample(tail: bytes, fixed_size: int, *, known: int) -> int | None:
    """The number of samples up to the end of the last frame; None where the end is no whole frame."""
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        if position + 1 < len(tail) and tail[position + 1] in (0xF8, 0xF9):
            held = _frame_end(tail[position : position + 16], fixed_size)
            # The cheap answer, if it is the expected one, needs no second checksum.
            if held is not None and (held == known or _crc(tail[position:], _CRC16, 16) == 0):
                return held
    return None


def _frame_end(header: bytes, fixed_size: int) -> int | None:
    """The samples up to a frame's end, from its header; None where the header is none."""
    if len(header) < 16:
        header = header.ljust(16, b"\0")
    size_code = header[2] >> 4
    number, position = _coded_number(header, 4)
    if number is None or size_code == 0:
        return None
    if size_code in (6, 7):
        width = size_code - 5
        block = int.from_bytes(header[position : position + width], "big") + 1
        position += width
    else:
        block = _BLOCK_SIZES[size_code]
    position += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    if _crc(header[:position], _CRC8, 8) != header[position]:
        return None
    # Blocks of one size are counted by frames, others by samples.
    return (number if header[1] & 1 else number * fixed_size) + block


def _coded_number(header: bytes, position: int) -> tuple[int | None, int]:
    """Decode a number written like a character of UTF-8, of up to seven bytes."""
    first = header[position]
    if first < 0x80:
        return first, position + 1
    more = 1
    while more < 7 and first & 0x40 >> more - 1:
        more += 1
    more -= 1
    if not 1 <= more <= 6:
        return None, position
    value = first & 0x3F >> more
    for byte in header[position + 1 : position + 1 + more]:
        if byte & 0xC0 != 0x80:
            return None, position
        value = value << 6 | byte & 0x3F
    return value, position + 1 + more


def _crc(data: bytes, table: tuple[int, ...], bits: int) -> int:
    shift, mask, crc = bits - 8, (1 << bits) - 1, 0
    for byte in data:
        crc = (crc << 8 ^ table[crc >> shift ^ byte]) & mask
    return crc


def _after_id3(file: BinaryIO) -> int:
    file.seek(0, os.SEEK_SET)
    head = file.read(10)
    if head[:3] != b"ID3":
        return 0
    return 10 + sum((byte & 0x7F) << 7 * k for k, byte in enumerate(reversed(head[6:10])))
