"""The constant parts of the features: mel bands, windows, the cosine transform. NumPy, float64."""

from __future__ import annotations

import math

import numpy as np

from greenbench.features.spec import FeatureSpec
from greenbench.units import SAMPLE_RATE


def mel_frequencies(hz: np.ndarray, scale: str) -> np.ndarray:
    """Convert Hz to mel; ``kaldi`` and ``htk`` are the same curve (1127 ln(1 + f/700)), Slaney's is linear to 1 kHz."""
    if scale == "slaney":
        upper = 15.0 + 27.0 * np.log(np.maximum(hz, 1e-9) / 1000.0) / math.log(6.4)
        return np.where(hz < 1000.0, hz * 3.0 / 200.0, upper)
    return 1127.0 * np.log1p(hz / 700.0)


def _hertz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "slaney":
        return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * math.log(6.4) / 27.0))
    return 700.0 * np.expm1(mel / 1127.0)


def band_centres(spec: FeatureSpec) -> np.ndarray:
    """The centre frequency of each band in Hz, (n_mels,)."""
    low, high = mel_frequencies(np.array([spec.f_min, spec.f_max]), spec.mel_scale)
    return _hertz(np.linspace(low, high, spec.n_mels + 2), spec.mel_scale)[1:-1]


def mel_bank(spec: FeatureSpec) -> np.ndarray:
    """The bands' weights, (n_fft // 2 + 1, n_mels) float64.

    Triangles are straight over Hz for ``htk`` and ``slaney``, over mel for ``kaldi`` (as Kaldi draws them, where the
    Nyquist bin is left out as well).
    """
    bins = np.arange(spec.n_fft // 2 + 1) * SAMPLE_RATE / spec.n_fft
    low, high = mel_frequencies(np.array([spec.f_min, spec.f_max]), spec.mel_scale)
    edges = np.linspace(low, high, spec.n_mels + 2)
    if spec.mel_scale == "kaldi":
        axis = mel_frequencies(bins, "kaldi")
    else:
        axis, edges = bins, _hertz(edges, spec.mel_scale)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (axis[:, None] - left) / (centre - left)
    falling = (right - axis[:, None]) / (right - centre)
    bank: np.ndarray = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_scale == "kaldi":
        bank[-1] = 0.0
    if spec.mel_norm == "slaney":
        edges_hz = _hertz(np.linspace(low, high, spec.n_mels + 2), spec.mel_scale)
        bank *= 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return bank


def window_function(spec: FeatureSpec) -> np.ndarray:
    """The window, (window_samples,) float64. ``povey`` is the Hann window to the power 0.85."""
    length = spec.window_samples
    phase = 2 * np.pi * np.arange(length) / (length if spec.periodic else length - 1)
    if spec.window == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    hann = 0.5 - 0.5 * np.cos(phase)
    return hann**0.85 if spec.window == "povey" else hann


def cosine_transform(spec: FeatureSpec) -> np.ndarray:
    """The orthonormal DCT-II with Kaldi's liftering, (n_mels, n_mfcc) float64."""
    bands, order = np.arange(spec.n_mels)[:, None], np.arange(spec.n_mfcc)[None, :]
    matrix: np.ndarray = np.sqrt(2.0 / spec.n_mels) * np.cos(np.pi / spec.n_mels * (bands + 0.5) * order)
    matrix[:, 0] = math.sqrt(1.0 / spec.n_mels)
    if spec.cepstral_lifter:
        matrix *= 1.0 + 0.5 * spec.cepstral_lifter * np.sin(np.pi * order / spec.cepstral_lifter)
    return matrix
