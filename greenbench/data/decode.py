"""One audio file to 16 kHz mono int16, and what can be wrong with it. Imports no PyTorch: it runs in workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from greenbench.data.utterance import SAMPLE_RATE

_BLOCK_SAMPLES = 1 << 22


class DamagedAudioError(Exception):
    """The file cannot be decoded to what its header promises; the message says what is wrong."""


@dataclass(frozen=True)
class DecodeJob:
    """Decode one file and write its parts ``(offset, num_samples, begin in the target)`` to ``target``.

    ``offset`` and ``num_samples`` are at the file's own rate, ``begin`` counts int16 samples of the target file.
    """

    path: str
    parts: tuple[tuple[int, int, int], ...]
    target: str

    @cached_property
    def num_samples(self) -> int:
        """Return the samples of all parts."""
        return sum(part[1] for part in self.parts)


def read_mono(path: str, offset: int = 0, num_samples: int = -1) -> tuple[np.ndarray, int]:
    """Decode (a stretch of) a file, channels averaged: (S,) float32 and the file's rate.

    Raises :class:`DamagedAudioError`.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if offset:
                file.seek(offset)
            samples = file.read(num_samples, dtype="float32", always_2d=True)
            rate = int(file.samplerate)
    except (soundfile.LibsndfileError, OSError, RuntimeError, ValueError) as error:
        raise DamagedAudioError(reason_of(error)) from error
    return (samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)), rate


def reason_of(error: Exception) -> str:
    """Return a decoder's complaint as a reason to leave the file out."""
    return f"cannot be decoded: {error_text(error)}"


def error_text(error: Exception) -> str:
    """Return a decoder's complaint in a few words, without its own prefix and the file's name."""
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
    """Run a :class:`DecodeJob`; return None, or what is wrong with the file."""
    target = os.open(job.target, os.O_WRONLY)
    try:
        whole: np.ndarray | None = None
        if len(job.parts) > 1 and job.num_samples < 64 * _BLOCK_SAMPLES:
            # A shard: one pass from begin to end is far cheaper than a seek for each utterance.
            first = min(part[0] for part in job.parts)
            whole, rate = read_mono(job.path, first, max(part[0] + part[1] for part in job.parts) - first)
        for offset, num_samples, begin in job.parts:
            if whole is None:
                part, rate = read_mono(job.path, offset, num_samples)
            else:
                part = whole[offset - first : offset - first + num_samples]
            if len(part) < num_samples:
                return f"ends after {offset + len(part)} samples, {offset + num_samples} expected: it is truncated"
            if not np.isfinite(part).all():
                return "holds samples that are not numbers (NaN or infinity)"
            samples = to_int16(resample(part, rate))
            os.pwrite(target, samples.tobytes(), 2 * begin)
    except DamagedAudioError as error:
        return str(error)
    finally:
        os.close(target)
    return None
