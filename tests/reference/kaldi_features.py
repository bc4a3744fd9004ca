"""Log-mel and MFCC one frame and one band at a time, after Kaldi's definitions (its feat/ folder).

Slow and obvious on purpose; float64 throughout. ``snip_edges=false``: frame t is centred on (t + 0.5) * shift and the
signal continues by reflection at both ends.
"""

from __future__ import annotations

import math

import numpy as np


def frame_at(samples: np.ndarray, t: int, length: int, shift: int) -> np.ndarray:
    """Cut frame t out of the signal, reflecting indices outside it."""
    begin = shift * t + shift // 2 - length // 2
    frame = np.zeros(length)
    for k in range(length):
        index = begin + k
        while index < 0 or index >= len(samples):
            index = -index - 1 if index < 0 else 2 * len(samples) - 1 - index
        frame[k] = samples[index]
    return frame


def window_value(name: str, k: int, length: int, *, periodic: bool) -> float:
    """Return one value of the window."""
    a = 2 * math.pi * k / (length if periodic else length - 1)
    return {
        "hann": 0.5 - 0.5 * math.cos(a),
        "hamming": 0.54 - 0.46 * math.cos(a),
        "povey": (0.5 - 0.5 * math.cos(a)) ** 0.85,
    }[name]


def process_window(
    frame: np.ndarray, *, window: str, periodic: bool, preemphasis: float, remove_dc: bool
) -> np.ndarray:
    """Remove the mean, pre-emphasise within the frame, multiply by the window."""
    frame = frame - frame.sum() / len(frame) if remove_dc else frame.copy()
    for k in range(len(frame) - 1, 0, -1):
        frame[k] -= preemphasis * frame[k - 1]
    frame[0] -= preemphasis * frame[0]
    return np.array([value * window_value(window, k, len(frame), periodic=periodic) for k, value in enumerate(frame)])


def power_spectrum(frame: np.ndarray, n_fft: int) -> np.ndarray:
    """Return |X|^2 by the definition of the discrete Fourier transform."""
    k = np.arange(len(frame))
    bins = np.arange(n_fft // 2 + 1)[:, None]
    spectrum = (frame * np.exp(-2j * np.pi * bins * k / n_fft)).sum(1)
    return np.abs(spectrum) ** 2


def mel_energies(power: np.ndarray, n_fft: int, n_mels: int, low: float, high: float, rate: int = 16_000) -> np.ndarray:
    """Sum the triangular bands, drawn straight over the mel axis; the Nyquist bin belongs to none."""

    def mel(hz: float) -> float:
        return 1127.0 * math.log(1.0 + hz / 700.0)

    delta = (mel(high) - mel(low)) / (n_mels + 1)
    energies = np.zeros(n_mels)
    for band in range(n_mels):
        left, centre, right = (mel(low) + (band + k) * delta for k in range(3))
        for i in range(n_fft // 2):
            m = mel(rate * i / n_fft)
            if left < m < right:
                weight = (m - left) / (centre - left) if m <= centre else (right - m) / (right - centre)
                energies[band] += weight * power[i]
    return energies


def fbank(
    samples: np.ndarray, *, n_mels: int, window: str, shift: int = 160, length: int = 400, n_fft: int = 512
) -> np.ndarray:
    """Return Kaldi's log filter banks of 16-bit valued samples, (len // shift, n_mels)."""
    rows = []
    for t in range(len(samples) // shift):
        frame = frame_at(samples, t, length, shift)
        frame = process_window(frame, window=window, periodic=False, preemphasis=0.97, remove_dc=True)
        energies = mel_energies(power_spectrum(frame, n_fft), n_fft, n_mels, 20.0, 8000.0)
        rows.append(np.log(np.maximum(energies, np.finfo(np.float32).eps)))
    return np.array(rows)


def mfcc(samples: np.ndarray, *, n_mfcc: int = 13, n_mels: int = 23, lifter: float = 22.0) -> np.ndarray:
    """Return Kaldi's MFCC with ``--use-energy=false``, (len // 160, n_mfcc)."""
    bands = fbank(samples, n_mels=n_mels, window="povey")
    cepstra = np.zeros((len(bands), n_mfcc))
    for k in range(n_mfcc):
        norm = math.sqrt((1.0 if k == 0 else 2.0) / n_mels)
        basis = [norm * math.cos(math.pi / n_mels * (n + 0.5) * k) for n in range(n_mels)]
        cepstra[:, k] = bands @ np.array(basis) * (1.0 + 0.5 * lifter * math.sin(math.pi * k / lifter))
    return cepstra


def signal(num_samples: int = 4000) -> np.ndarray:
    """Return a deterministic test signal in [-1, 1]: a chirp, a click, an offset and a linear congruential noise."""
    t = np.arange(num_samples) / 16_000
    chirp = 0.4 * np.sin(2 * np.pi * (200 * t + 12_000 * t**2))
    state, noise = 1, np.zeros(num_samples)
    for i in range(num_samples):
        state = (1_103_515_245 * state + 12_345) % 2**31
        noise[i] = state / 2**30 - 1.0
    chirp[num_samples // 2] += 0.3
    return np.rint((chirp + 0.02 * noise + 0.01) * 32768) / 32768
