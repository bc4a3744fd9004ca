"""Augmentation of training crops: reverberation, other speeds, noise; from the user's folders or generated.

Every draw depends on seed, epoch and batch only, so a resumed run hears the same.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greenbench.audio.decode import DamagedAudioError, read_mono, resample, to_int16
from greenbench.config import GENERATED, Augmentation
from greenbench.corpora.readers.tree import scan_tree
from greenbench.errors import DataError
from greenbench.features.waveforms import to_float
from greenbench.units import SAMPLE_RATE

__all__ = ["GENERATED", "Augmentation", "Augmenter", "load_sounds"]

_MAX_NOISE_S = 1800.0
_MAX_REVERB_S = 1.0
_SPEED_STEP = 160


class Augmenter:
    """Call it with a batch (B, S), the epoch and the batch's index; it returns a new (B, S) on the same device."""

    def __init__(self, settings: Augmentation, *, seed: int) -> None:
        self.settings, self.seed = settings, seed
        folder = settings.noise if settings.noise_probability else GENERATED
        self._noise = None if folder == GENERATED else np.concatenate(load_sounds(folder, _MAX_NOISE_S))
        folder = settings.reverb if settings.reverb_probability else GENERATED
        self._rooms = None if folder == GENERATED else load_sounds(folder, _MAX_NOISE_S)

    def __call__(self, waveform: Tensor, epoch: int, index: int) -> Tensor:
        """Augment a batch (B, S) float32 in [-1, 1]; peaks beyond are scaled back, crop by crop."""
        random = np.random.default_rng([self.seed, epoch, index])
        result = waveform
        if random.random() < self.settings.speed_probability:
            # One factor a batch: all crops keep one length, and one transform serves them all.
            result = change_speed(result, float(random.choice(self.settings.speeds)))
        chosen = random.random(len(result)) < self.settings.reverb_probability
        if chosen.any():
            rows = torch.from_numpy(np.flatnonzero(chosen)).to(result.device)
            rooms = torch.stack([self._room(random) for _ in range(len(rows))]).to(result.device)
            result = result.index_copy(0, rows, reverberate(result[rows], rooms))
        chosen = random.random(len(result)) < self.settings.noise_probability
        if chosen.any():
            rows = torch.from_numpy(np.flatnonzero(chosen)).to(result.device)
            noise = torch.stack([self._noise_of(result.shape[1], random) for _ in range(len(rows))])
            snr_db = torch.from_numpy(random.uniform(self.settings.snr_db[0], self.settings.snr_db[1], len(rows))).to(
                result.device
            )
            result = result.index_copy(0, rows, mix(result[rows], noise.to(result.device), snr_db))
        return result / result.abs().amax(1, keepdim=True).clamp(min=1.0)

    def _noise_of(self, num_samples: int, random: np.random.Generator) -> Tensor:
        if self._noise is None:
            return coloured_noise(num_samples, random)
        begin = int(random.integers(len(self._noise)))
        index = (begin + np.arange(num_samples)) % len(self._noise)
        return torch.from_numpy(to_float(self._noise[index]))

    def _room(self, random: np.random.Generator) -> Tensor:
        response = torch.zeros(int(_MAX_REVERB_S * SAMPLE_RATE))
        if self._rooms is None:
            room = generated_room(float(random.uniform(self.settings.t60_s[0], self.settings.t60_s[1])), random)
        else:
            recorded = to_float(self._rooms[int(random.integers(len(self._rooms)))])
            # The direct sound comes first, so that reverberated speech stays aligned with its labels.
            room = torch.from_numpy(recorded[int(np.abs(recorded).argmax()) :])
        room = room[: len(response)]
        response[: len(room)] = room / room.square().sum().sqrt().clamp(min=1e-6)
        return response


def load_sounds(folder: str, max_seconds: float) -> list[np.ndarray]:
    """The recordings of a folder as 16 kHz mono int16, ``max_seconds`` at most; unreadable ones are skipped."""
    sounds: list[np.ndarray] = []
    left_s = max_seconds
    for path in scan_tree(Path(folder).expanduser()).audio:
        if left_s <= 0:
            break
        try:
            samples = resample(*read_mono(str(path)))[: int(left_s * SAMPLE_RATE)]
        except DamagedAudioError:
            continue
        if len(samples) and np.isfinite(samples).all() and np.abs(samples).max() > 0:
            # Only the shape matters: a sound is brought to a signal-to-noise ratio anyway.
            sounds.append(to_int16(samples / max(1.0, float(np.abs(samples).max()))))
            left_s -= len(samples) / SAMPLE_RATE
    if not sounds:
        raise DataError(f"{folder}: no readable sound in it; give a folder of audio files, or 'generated'")
    return sounds


def mix(speech: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise (B, S) to speech (B, S) at ``snr_db`` (B,), the ratio of their mean powers in dB."""
    power, noise_power = speech.square().mean(1), noise.square().mean(1).clamp(min=1e-12)
    gain = (power / noise_power * 10 ** (-snr_db.to(power.dtype) / 10)).sqrt()
    return speech + gain[:, None] * noise


def coloured_noise(num_samples: int, random: np.random.Generator) -> Tensor:
    """Noise (S,) of mean power 1 whose spectrum falls as 1/f^a, with a from 0 (white) to 2 (brown)."""
    spectrum = random.standard_normal(num_samples // 2 + 1) + 1j * random.standard_normal(num_samples // 2 + 1)
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** (-random.uniform(0.0, 2.0) / 2)
    noise = np.fft.irfft(spectrum, n=num_samples)
    return torch.from_numpy((noise / max(float(np.sqrt((noise**2).mean())), 1e-9)).astype(np.float32))


def generated_room(t60_s: float, random: np.random.Generator) -> Tensor:
    """A room's impulse response: the direct sound, then noise that has fallen by 60 dB after ``t60_s``."""
    count = max(2, int(min(t60_s, _MAX_REVERB_S) * SAMPLE_RATE))
    decay = np.exp(-math.log(1000.0) * np.arange(count) / (t60_s * SAMPLE_RATE))
    tail = random.standard_normal(count) * decay
    tail *= random.uniform(0.2, 0.7) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return torch.from_numpy(tail.astype(np.float32))


def reverberate(speech: Tensor, rooms: Tensor) -> Tensor:
    """Convolve speech (B, S) with impulse responses (B, R); the tail beyond S is cut off."""
    size = 2 ** math.ceil(math.log2(speech.shape[1] + rooms.shape[1]))
    product = torch.fft.rfft(speech, size) * torch.fft.rfft(rooms, size)
    wet: Tensor = torch.fft.irfft(product, size)
    return wet[:, : speech.shape[1]]


def change_speed(speech: Tensor, factor: float) -> Tensor:
    """Play crops (B, S) ``factor`` times as fast, tempo and pitch alike; S stays.

    A slower crop loses its end, a faster one is continued with its own beginning.
    """
    samples = speech.shape[1]
    wanted = max(_SPEED_STEP, round(samples / factor / _SPEED_STEP) * _SPEED_STEP)
    spectrum = torch.fft.rfft(speech)
    bins = min(spectrum.shape[1], wanted // 2 + 1)
    changed: Tensor = torch.fft.irfft(spectrum[:, :bins], wanted) * (wanted / samples)
    repeats = -(-samples // wanted)
    return changed.repeat(1, repeats)[:, :samples]
