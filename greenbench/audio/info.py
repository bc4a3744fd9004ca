"""What one audio file holds, and whether all of it can be decoded. Imports no PyTorch: it runs in workers."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greenbench.audio.decode import error_text, reason_of

_BLOCK = 1 << 20
_MP3_SLACK = 4 * 1152
_OGG_TAIL = 1 << 17


@dataclass(frozen=True)
class AudioInfo:
    """A file's rate, length (samples at that rate), channels and encoding; ``problem`` says why it cannot be used."""

    sample_rate: int = 0
    num_samples: int = 0
    channels: int = 0
    subtype: str = ""
    problem: str | None = None


def probe_header(path: str) -> AudioInfo:
    """Read a file's header only."""
    return _probe(path, decode=False)


def probe_file(path: str) -> AudioInfo:
    """Read a file from begin to end and check that it holds the finite, audible samples that its header promises."""
    return _probe(path, decode=True)


def _probe(path: str, *, decode: bool) -> AudioInfo:
    import soundfile

    try:
        if Path(path).stat().st_size == 0:
            return AudioInfo(problem="is empty (0 bytes)")
        if truncation := _truncation(Path(path)):
            return AudioInfo(problem=truncation)
        with soundfile.SoundFile(path) as file:
            info = AudioInfo(
                int(file.samplerate), int(file.frames), int(file.channels), f"{file.format} {file.subtype}"
            )
            problem = _header_problem(info)
            if problem is None and decode:
                problem, decoded = _decode_problem(file, info)
                # The header of an MP3 only estimates the length.
                info = AudioInfo(info.sample_rate, decoded, info.channels, info.subtype)
    except (soundfile.LibsndfileError, OSError, RuntimeError, ValueError, struct.error) as error:
        return AudioInfo(problem=reason_of(error))
    return AudioInfo(info.sample_rate, info.num_samples, info.channels, info.subtype, problem)


def _header_problem(info: AudioInfo) -> str | None:
    if info.channels < 1:
        return "has 0 channels"
    if not 1_000 <= info.sample_rate <= 768_000:
        return f"has a sample rate of {info.sample_rate} Hz; 1 to 768 kHz can be read"
    return "holds no samples" if info.num_samples <= 0 else None


def _decode_problem(file: Any, info: AudioInfo) -> tuple[str | None, int]:
    decoded, loudest = 0, 0.0
    buffer = np.empty((min(_BLOCK, info.num_samples), info.channels), np.float32)
    while True:
        try:
            block = file.read(out=buffer)
        except RuntimeError as error:
            where = f"after {decoded} of {info.num_samples} samples"
            return f"is truncated or damaged: decoding stops {where} ({error_text(error)})", decoded
        if not len(block):
            break
        decoded += len(block)
        low, high = float(block.min()), float(block.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            return "holds samples that are not numbers (NaN or infinity)", decoded
        loudest = max(loudest, -low, high)
    slack = _MP3_SLACK if "MPEG" in info.subtype or "MP3" in info.subtype else 0
    if decoded + slack < info.num_samples:
        return f"ends after {decoded} of {info.num_samples} samples: it is truncated", decoded
    return ("holds only silence (every sample is 0)" if loudest == 0 else None), decoded


def _truncation(path: Path) -> str | None:
    """Find what libsndfile passes over: a RIFF or Ogg file that ends in the middle."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"RIFF":
        return _riff_truncation(path)
    return _ogg_truncation(path) if magic == b"OggS" else None


def _riff_truncation(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                # Streaming writers leave 0 or the largest number here, which libsndfile reads as "up to the end".
                missing = file.tell() + length - size
                known = 0 < length < 0x7FFFFF00
                return f"is truncated ({missing} bytes of audio are missing)" if known and missing > 0 else None
            file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _ogg_truncation(path: Path) -> str | None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _OGG_TAIL))
        tail = file.read()
    begin = tail.rfind(b"OggS")
    if begin < 0:
        return None
    segments = tail[begin + 26] if len(tail) > begin + 26 else 256
    table = tail[begin + 27 : begin + 27 + segments]
    whole = len(table) == segments and len(tail) >= begin + 27 + segments + sum(table)
    return None if whole else "is truncated (its last Ogg page is cut off)"
