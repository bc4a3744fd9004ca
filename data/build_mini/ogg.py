"""Ogg Opus shards that are the same bytes at every build: the stream's serial number is not left to chance."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve

_COMPRESSION = 0.95  # libsndfile's scale; about 20 kbit/s for 16 kHz mono


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()


def _crc(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC[(value >> 24) ^ byte]
    return value


def write(path: Path, samples: np.ndarray, sample_rate: int, *, serial: int) -> None:
    """Encode mono ``samples`` (float, -1 to 1) and give every page the serial number ``serial``."""
    with soundfile.SoundFile(
        path, "w", sample_rate, 1, format="OGG", subtype="OPUS", compression_level=_COMPRESSION
    ) as f:
        f.write(samples)
    data, begin = bytearray(path.read_bytes()), 0
    while begin < len(data):
        segments = data[begin + 26]
        end = begin + 27 + segments + sum(data[begin + 27 : begin + 27 + segments])
        data[begin + 14 : begin + 18] = struct.pack("<I", serial)
        data[begin + 22 : begin + 26] = bytes(4)
        data[begin + 22 : begin + 26] = struct.pack("<I", _crc(data[begin:end]))
        begin = end
    path.write_bytes(data)


def largest_drift(path: Path, samples: np.ndarray, *, probes: int = 50, reach: int = 400) -> int:
    """Decode and return the largest shift, in samples, between ``probes`` seconds and the encoded ``samples``.

    Raises ``SystemExit`` when the decoded length differs.
    """
    decoded, rate = soundfile.read(path)
    if len(decoded) != len(samples):
        raise SystemExit(f"{path.name}: {len(decoded)} samples decoded, {len(samples)} encoded")
    shifts = []
    for begin in np.linspace(reach, len(samples) - rate - reach, probes).astype(int):
        around = decoded[begin - reach : begin + rate + reach]
        match = fftconvolve(around, samples[begin : begin + rate][::-1], mode="valid")
        energy = fftconvolve(around**2, np.ones(rate), mode="valid")
        shifts.append(abs(int(np.argmax(match / np.sqrt(np.maximum(energy, 1e-9)))) - reach))
    return max(shifts)
