"""Audio that tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]


def tone(seconds: float, rate: int = 16_000, *, hz: float = 220.0, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Return a tone in noise, (S,) or (S, channels) float64."""
    count = round(seconds * rate)
    t = np.arange(count) / rate
    wave = 0.3 * np.sin(2 * np.pi * hz * t) + 0.01 * np.random.default_rng(seed).standard_normal(count)
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def voiced(pitch_hz: np.ndarray, random: np.random.Generator, *, harmonics: int, rate: int = 16_000) -> np.ndarray:
    """A harmonic tone of a gliding pitch (S,) in noise, (S,) float64: as near to speech as tests need."""
    turns = 2 * np.pi * np.cumsum(pitch_hz) / rate
    wave = sum(np.sin(h * turns) / h for h in range(1, harmonics + 1))
    return 0.1 * wave + 0.01 * random.standard_normal(len(pitch_hz))
