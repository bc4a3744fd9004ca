"""What features are: the settings of log-mel and MFCC features, and the presets that the models read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from greenbench.units import SAMPLE_RATE


@dataclass(frozen=True)
class FeatureSpec:
    """What is computed from the waveform. The defaults are the 80 log-mel bands of :data:`LOGMEL_80`.

    ``scale`` multiplies the waveform first (Kaldi's values assume 16-bit integers: 32768). ``log_offset`` is added to
    the band energies before the logarithm, ``log_floor`` limits them from below. ``stack`` concatenates so many
    neighbouring frames (T becomes ``T // stack``). ``normalise`` is what a :class:`FeatureStore` does: ``global``
    (mean and deviation of each band over the corpus), ``utterance`` or ``none``.
    """

    kind: Literal["logmel", "mfcc"] = "logmel"
    n_mels: int = 80
    n_mfcc: int = 13
    window_ms: float = 25.0
    hop_ms: float = 10.0
    n_fft: int = 400
    f_min: float = 0.0
    f_max: float = 8000.0
    mel_scale: Literal["htk", "slaney", "kaldi"] = "slaney"
    mel_norm: Literal["none", "slaney"] = "none"
    window: Literal["hann", "hamming", "povey"] = "hann"
    periodic: bool = True
    preemphasis: float = 0.0
    remove_dc: bool = False
    scale: float = 1.0
    log_offset: float = 1e-6
    log_floor: float = 0.0
    cepstral_lifter: float = 0.0
    stack: int = 1
    normalise: Literal["global", "utterance", "none"] = "global"

    def __post_init__(self) -> None:
        if self.n_fft < self.window_samples:
            raise ValueError(f"n_fft = {self.n_fft} must hold the window's {self.window_samples} samples")
        if (self.window_samples - self.hop_samples) % 2 or self.window_samples < self.hop_samples:
            raise ValueError("window_ms - hop_ms must be an even number of samples, 0 or more")
        if not 0 <= self.f_min < self.f_max <= SAMPLE_RATE / 2:
            raise ValueError(f"f_min = {self.f_min:g}, f_max = {self.f_max:g}: need 0 <= f_min < f_max <= 8000")

    @property
    def hop_samples(self) -> int:
        """The distance of two frames in samples."""
        return round(self.hop_ms * SAMPLE_RATE / 1000)

    @property
    def window_samples(self) -> int:
        """The window's length in samples."""
        return round(self.window_ms * SAMPLE_RATE / 1000)

    @property
    def dim(self) -> int:
        """The number of values a frame, after stacking."""
        return (self.n_mels if self.kind == "logmel" else self.n_mfcc) * self.stack

    def num_frames(self, num_samples: int) -> int:
        """The number of frames of ``num_samples`` samples, after stacking."""
        return num_samples // self.hop_samples // self.stack

    def stored_bytes(self, num_samples: np.ndarray) -> int:
        """What the float16 features of utterances of ``num_samples`` (N,) samples take, in bytes."""
        return int((num_samples // self.hop_samples // self.stack).sum()) * self.dim * 2


LOGMEL_80 = FeatureSpec()
"""80 bands on Slaney's mel scale, periodic Hann window of 25 ms every 10 ms, natural logarithm of the power."""

KALDI_FBANK_40 = FeatureSpec(
    n_mels=40,
    n_fft=512,
    f_min=20.0,
    mel_scale="kaldi",
    window="hamming",
    periodic=False,
    preemphasis=0.97,
    remove_dc=True,
    scale=32768.0,
    log_offset=0.0,
    log_floor=float(np.finfo(np.float32).eps),
)
"""Kaldi's 40 filter banks with a Hamming window, as MelHuBERT reads them (its recipe scales the waveform by 2^15)."""


KALDI_MFCC_13 = FeatureSpec(
    kind="mfcc",
    n_mels=23,
    n_mfcc=13,
    n_fft=512,
    f_min=20.0,
    mel_scale="kaldi",
    window="povey",
    periodic=False,
    preemphasis=0.97,
    remove_dc=True,
    scale=32768.0,
    log_offset=0.0,
    log_floor=float(np.finfo(np.float32).eps),
    cepstral_lifter=22.0,
)
"""Kaldi's default 13 cepstra (23 bands, Povey window, lifter 22), with ``--use-energy=false``."""
