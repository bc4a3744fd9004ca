"""Rooms, noise and level. Nothing here moves the speech in time: direct path and filters have zero delay."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve, firwin2

SAMPLE_RATE = 16_000
SNRS_DB = (20, 15, 10, 5)
_EQ_HZ = (0, 200, 800, 2500, 6000, 8000)
NOISES = ("white", "pink", "babble", "hum")


def equalise(samples: np.ndarray, eq_db: tuple[float, ...]) -> np.ndarray:
    """Apply four band gains with a linear-phase filter whose delay is taken out again."""
    gains = 10 ** (np.array([eq_db[0], *eq_db, eq_db[-1]]) / 20)
    return fftconvolve(samples, firwin2(129, _EQ_HZ, gains, fs=SAMPLE_RATE), mode="same")


def room(rng: np.random.Generator) -> np.ndarray:
    """Impulse response: the direct path at sample 0, a few early reflections, an exponential tail."""
    rt60 = rng.uniform(0.15, 0.6)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(time.size) * 10 ** (-3 * time / rt60)
    tail[: int(0.004 * SAMPLE_RATE)] = 0
    for delay in rng.integers(int(0.001 * SAMPLE_RATE), int(0.03 * SAMPLE_RATE), 6):
        tail[delay] += rng.uniform(-1, 1) * 6
    direct_to_reverberant_db = rng.uniform(0, 12)
    tail *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return tail


def noise(kind: str, count: int, rng: np.random.Generator, bank: list[np.ndarray]) -> np.ndarray:
    """``count`` samples of one of ``NOISES``; babble adds five voices of ``bank`` at random places."""
    if kind == "white":
        return rng.standard_normal(count)
    if kind == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(count))
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 40.0 * count / SAMPLE_RATE))
        return np.fft.irfft(spectrum, count)
    if kind == "hum":
        time, mains = np.arange(count) / SAMPLE_RATE, rng.choice([50.0, 60.0])
        tones = sum(
            np.sin(2 * np.pi * mains * k * time + rng.uniform(0, 6.3)) * rng.uniform(0.2, 1) / k for k in range(1, 9)
        )
        return tones + 0.1 * rng.standard_normal(count)
    babble = np.zeros(count)
    for index in rng.choice(len(bank), 5, replace=False):
        voice = np.resize(bank[index], count + bank[index].size)
        begin = rng.integers(0, bank[index].size)
        babble += voice[begin : begin + count]
    return babble


def disturb(
    speech: np.ndarray, active: np.ndarray, rng: np.random.Generator, bank: list[np.ndarray]
) -> tuple[np.ndarray, dict[str, object]]:
    """Room (40 %), noise (70 %) and level (-30 to -16 dBFS, with headroom for the codec).

    ``active`` marks the samples of speech: the signal-to-noise ratio counts those only.
    """
    facts: dict[str, object] = {}
    if rng.random() < 0.4:
        speech = fftconvolve(speech, room(rng))[: speech.size]
        facts["rir"] = True
    power = float((speech[active] ** 2).mean())
    if rng.random() < 0.7:
        snr_db = int(rng.choice(SNRS_DB))
        added = noise(NOISES[rng.integers(len(NOISES))], speech.size, rng, bank)
        speech = speech + added * np.sqrt(power * 10 ** (-snr_db / 10) / (added**2).mean())
        facts["snr_db"] = snr_db
    speech = speech * 10 ** (rng.uniform(-30, -16) / 20) / np.sqrt(power)
    return speech * min(1.0, 0.9 / np.abs(speech).max()), facts
