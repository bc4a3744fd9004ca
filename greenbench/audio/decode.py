"""One audio file to 16 kHz mono int16, and what can be wrong with it. Imports no PyTorch: it runs in workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from greenbench.audio.opening import open_audio
from greenbench.units import SAMPLE_RATE

_GAP_S = 2.0


class DamagedAudioError(Exception):
    """The file cannot be decoded to what its header promises; the message says what is wrong."""


class DecodePart(NamedTuple):
    """A stretch at the file's own rate, and where it begins in the target, in int16 samples.

    ``channel`` is one of the file's, counted from 0; -1 averages them all.
    """

    offset: int
    num_samples: int
    begin: int
    channel: int = -1


@dataclass(frozen=True)
class DecodeJob:
    """Decode one file and write its parts to ``target``; ``gain`` brings its samples to [-1, 1]."""

    path: str
    parts: tuple[DecodePart, ...]
    target: str
    gain: float = 1.0

    @cached_property
    def num_samples(self) -> int:
        """The samples of all parts, at the file's own rate."""
        return sum(part.num_samples for part in self.parts)


def read_mono(path: str) -> tuple[np.ndarray, int]:
    """Decode a whole file, channels averaged: (S,) float32 and the file's rate. Raises :class:`DamagedAudioError`."""
    import soundfile

    try:
        with open_audio(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            rate = int(file.samplerate)
    except (soundfile.LibsndfileError, OSError, RuntimeError, ValueError) as error:
        raise DamagedAudioError(reason_of(error)) from error
    return mono(samples), rate


def mono(samples: np.ndarray) -> np.ndarray:
    """Average the channels, (S, C) to (S,)."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def reason_of(error: Exception) -> str:
    """A decoder's complaint as a reason to leave the file out."""
    return f"cannot be decoded: {error_text(error)}"


def error_text(error: Exception) -> str:
    """A decoder's complaint in a few words, without its own prefix and the file's name."""
    text = str(getattr(error, "error_string", "") or getattr(error, "strerror", "") or error)
    return text.removeprefix("Error :").strip().rstrip(".") or type(error).__name__


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Convert float32 in [-1, 1] to int16, clipping what lies outside."""
    return np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample (S,) float32 from ``rate`` to 16 kHz; exactly ``S * 16000 // rate`` samples come out."""
    if rate == SAMPLE_RATE:
        return samples
    import soxr

    wanted = len(samples) * SAMPLE_RATE // rate
    result = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")[:wanted]
    return np.pad(result, (0, wanted - len(result)))


def decode_into(job: DecodeJob) -> str | None:
    """Run a :class:`DecodeJob`; return None, or what is wrong with the file.

    The file is read forward once, a part at a time, so that memory does not grow with its length; a part that lies in
    the one before (a word of a sentence) is taken from there.
    """
    import soundfile

    target = os.open(job.target, os.O_WRONLY)
    try:
        with open_audio(job.path) as file:
            start, held = 0, np.zeros((0, file.channels), np.float32)
            for part in sorted(job.parts, key=lambda p: (p.offset, -p.num_samples)):
                end = part.offset + part.num_samples
                if end > start + len(held):
                    _forward(file, start + len(held), part.offset)
                    start, held = part.offset, file.read(part.num_samples, dtype="float32", always_2d=True)
                block = held[part.offset - start : end - start]
                if len(block) < part.num_samples:
                    return f"ends after {start + len(held)} samples, {end} expected: it is truncated"
                if part.channel >= block.shape[1]:
                    return f"has {block.shape[1]} channels, one more was there when it was scanned"
                wave = mono(block) if part.channel < 0 else block[:, part.channel]
                if not np.isfinite(wave).all():
                    return "holds samples that are not numbers (NaN or infinity)"
                samples = to_int16(resample(wave * np.float32(job.gain), file.samplerate))
                os.pwrite(target, samples.tobytes(), 2 * part.begin)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        return reason_of(error)
    finally:
        os.close(target)
    return None


def _forward(file: Any, position: int, offset: int) -> None:
    """Move on to ``offset``: a short gap is decoded and dropped, which is cheaper than a seek in a compressed file."""
    gap = offset - position
    if 0 < gap <= _GAP_S * file.samplerate:
        file.read(gap, dtype="float32")
    elif gap:
        file.seek(offset)
