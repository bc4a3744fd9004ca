"""Perceptual linear prediction as HTK computes it (``PLP_0_D_A_Z``), for acoustic models that were trained on it.

Hermansky, Perceptual linear predictive (PLP) analysis of speech, JASA 1990; the constants are those of the HTK Book
(Young et al., version 3.4, section 5) and of the model's own configuration: 11,025 Hz, 25 ms windows every 10 ms in
whole samples, 20 mel bands, order 12, lifter 22.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 11_025
WINDOW, HOP = 275, 110
_FFT = 512
_CHANNELS, _ORDER, _LIFTER = 20, 12, 22
_PREEMPHASIS = 0.97
_COMPRESSION = 0.33
_DELTA_REACH = 2


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)


def _bank() -> np.ndarray:
    """Return triangular mel filters, (channels, bins); the first two bins stay unused, as in HTK."""
    bins = np.arange(1, _FFT // 2)
    mel = _mel(bins * SAMPLE_RATE / _FFT)
    centres = np.arange(_CHANNELS + 2) / (_CHANNELS + 1) * _mel(SAMPLE_RATE / 2)
    bank = np.zeros((_CHANNELS, _FFT // 2 + 1))
    for channel in range(_CHANNELS):
        low, middle, high = centres[channel : channel + 3]
        bank[channel, bins] = np.clip(np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle)), 0, None)
    return bank


def _equal_loudness() -> np.ndarray:
    centres = np.arange(1, _CHANNELS + 1) / (_CHANNELS + 1) * _mel(SAMPLE_RATE / 2)
    square = (700.0 * (np.exp(centres / 1127.0) - 1.0)) ** 2
    return (square / (square + 1.6e5)) ** 2 * (square + 1.44e6) / (square + 9.61e6)


def _cosines() -> np.ndarray:
    """Return the inverse transform of a spectrum sampled at ``channels + 2`` points, (order + 1, channels + 2)."""
    lags, points = np.arange(_ORDER + 1)[:, None], np.arange(_CHANNELS + 2)[None, :]
    cosines = 2.0 * np.cos(np.pi / (_CHANNELS + 1) * lags * points)
    cosines[:, [0, -1]] /= 2.0
    return cosines / (2.0 * (_CHANNELS + 1))


def plp(samples: np.ndarray) -> np.ndarray:
    """Return c1..c12, c0 and their first and second differences, (frames, 39).

    ``samples`` (S,) are at 11,025 Hz on the scale of 16-bit integers. Frame ``i`` covers samples ``110 i`` to
    ``110 i + 275``.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((frames - _PREEMPHASIS * previous) * np.hamming(WINDOW), _FFT)) ** 2
    loudness = (np.maximum(power @ _bank().T, 1.0) * _equal_loudness()) ** _COMPRESSION
    spectrum = np.concatenate([loudness[:, :1], loudness, loudness[:, -1:]], axis=1)
    cepstrum = _cepstra(spectrum @ _cosines().T)
    cepstrum -= cepstrum.mean(axis=0)
    first = _differences(cepstrum)
    return np.concatenate([cepstrum, first, _differences(first)], axis=1)


def _cepstra(lags: np.ndarray) -> np.ndarray:
    """Return the liftered cepstra c1..c12 of the all-pole models, and c0, the logarithms of their gains.

    ``lags`` (frames, 13) are autocorrelations; the recursion is Levinson and Durbin's, over all frames at once.
    """
    frames = len(lags)
    predictor, gain = np.zeros((frames, _ORDER)), lags[:, 0].copy()
    for n in range(_ORDER):
        reflection = (lags[:, n + 1] - (predictor[:, :n] * lags[:, n:0:-1]).sum(1)) / gain
        predictor[:, :n] -= reflection[:, None] * predictor[:, :n][:, ::-1]
        predictor[:, n] = reflection
        gain *= 1.0 - reflection**2
    cepstra = np.zeros((frames, _ORDER + 1))
    for n in range(1, _ORDER + 1):
        earlier = np.arange(1, n)
        cepstra[:, n] = predictor[:, n - 1] + (earlier * cepstra[:, earlier] * predictor[:, n - 1 - earlier]).sum(1) / n
    lifter = 1.0 + _LIFTER / 2 * np.sin(np.pi * np.arange(1, _ORDER + 1) / _LIFTER)
    return np.column_stack([cepstra[:, 1:] * lifter, np.log(gain)])


def _differences(features: np.ndarray) -> np.ndarray:
    reach = range(1, _DELTA_REACH + 1)
    padded = np.pad(features, ((_DELTA_REACH, _DELTA_REACH), (0, 0)), mode="edge")
    middle = slice(_DELTA_REACH, _DELTA_REACH + len(features))
    total = sum(
        k * (padded[middle.start + k : middle.stop + k] - padded[middle.start - k : middle.stop - k]) for k in reach
    )
    return total / (2 * sum(k * k for k in reach))
