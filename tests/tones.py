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
