"""MPEG audio (MP3): how many samples its frames hold. The header of the first only says what its writer meant."""

from __future__ import annotations

import os
from typing import BinaryIO

from greenbench.audio.finding import WHOLE, Finding

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_LAYER_3 = 1
_XING_AT_MOST = 200
_TAGS = (b"TAG", b"APE", b"LYR")


def examine(file: BinaryIO, size: int) -> Finding:
    """Count the samples of all Layer III frames. A frame that lacks its end shows a truncated file, and so does a
    table of frames in the first one that counts more of them than there are.

    Anything between two frames that is no tag is left to the decoder: then nothing is claimed.
    """
    position, frames, samples = _after_id3(file), 0, 0
    stated: int | None = None
    while position + 4 <= size:
        file.seek(position, os.SEEK_SET)
        header = file.read(4)
        frame = _frame(header)
        if frame is None:
            if header[:3] == b"ID3" and samples:
                return Finding("holds several recordings one after the other; split it")
            file.seek(position, os.SEEK_SET)
            ends = not any(file.read(1 << 16)) or header[:3] in _TAGS
            return _counted(frames, samples, stated) if ends else WHOLE
        length, in_frame = frame
        if position + length > size:
            return Finding(f"is truncated (its last frame lacks {position + length - size} bytes)")
        # The first frame may hold a table for seeking in place of audio.
        is_table, table = _table(file, position) if position == _after_id3(file) else (False, None)
        if is_table:
            stated = table
        else:
            frames, samples = frames + 1, samples + in_frame
        position += length
    return _counted(frames, samples, stated)


def _counted(frames: int, samples: int, stated: int | None) -> Finding:
    if stated is not None and frames < stated:
        return Finding(f"is truncated (it holds {frames} frames of {stated})")
    return Finding(num_samples=samples) if samples else WHOLE


def _table(file: BinaryIO, position: int) -> tuple[bool, int | None]:
    """Whether a frame holds a table in place of audio, and the number of frames that this states."""
    file.seek(position, os.SEEK_SET)
    head = file.read(_XING_AT_MOST)
    for mark in (b"Xing", b"Info"):
        found = head.find(mark)
        if found >= 0:
            has_count = len(head) >= found + 12 and head[found + 7] & 1
            return True, int.from_bytes(head[found + 8 : found + 12], "big") if has_count else None
    return b"VBRI" in head, None


def _after_id3(file: BinaryIO) -> int:
    """The position after the ID3v2 tag at the begin, if there is one."""
    file.seek(0, os.SEEK_SET)
    head = file.read(10)
    if head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _frame(header: bytes) -> tuple[int, int] | None:
    """Bytes and samples of a Layer III frame; None where this is no header of one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbit_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _RATES or layer != _LAYER_3 or kbit_index in (0, 15) or rate_index == 3:
        return None
    is_mpeg1 = version == 3
    kbits = (_KBITS_1 if is_mpeg1 else _KBITS_2)[kbit_index]
    rate = _RATES[version][rate_index]
    return (144 if is_mpeg1 else 72) * kbits * 1000 // rate + padding, 1152 if is_mpeg1 else 576
