"""Log-mel and MFCC features: one definition, computed in blocks of frames on whatever device the audio is on.

Conventions, the same for every preset: frame ``t`` is centred on sample ``(t + 0.5) * hop``, there are exactly
``S // hop`` frames, and the ends are continued by reflection (``x[-1] = x[0]``, ``x[-2] = x[1]``, …). This is Kaldi's
``--snip-edges=false`` with the last, incomplete hop left out, so that a crop of the waveform at a multiple of the hop
and a crop of the features cover the same frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from greenbench.data.utterance import SAMPLE_RATE

BLOCK_FRAMES = 512
"""Frames worked on at once on a CPU: a block's buffers stay in the second-level cache (fastest of 256 to 4096)."""
_GPU_BLOCK_FRAMES = 65_536


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
        """Return the distance of two frames in samples."""
        return round(self.hop_ms * SAMPLE_RATE / 1000)

    @property
    def window_samples(self) -> int:
        """Return the window's length in samples."""
        return round(self.window_ms * SAMPLE_RATE / 1000)

    @property
    def dim(self) -> int:
        """Return the number of values a frame, after stacking."""
        return (self.n_mels if self.kind == "logmel" else self.n_mfcc) * self.stack

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames of ``num_samples`` samples, after stacking."""
        return num_samples // self.hop_samples // self.stack


LOGMEL_80 = FeatureSpec()
"""80 bands on Slaney's mel scale, periodic Hann window of 25 ms every 10 ms, natural logarithm of the power."""

KALDI_FBANK_40 = FeatureSpec(
    n_mels=40, n_fft=512, f_min=20.0, mel_scale="kaldi", window="hamming", periodic=False, preemphasis=0.97,
    remove_dc=True, scale=32768.0, log_offset=0.0, log_floor=float(np.finfo(np.float32).eps),
)  # fmt: skip
"""Kaldi's 40 filter banks with a Hamming window, as MelHuBERT reads them (its recipe scales the waveform by 2^15)."""


KALDI_MFCC_13 = FeatureSpec(
    kind="mfcc", n_mels=23, n_mfcc=13, n_fft=512, f_min=20.0, mel_scale="kaldi", window="povey", periodic=False,
    preemphasis=0.97, remove_dc=True, scale=32768.0, log_offset=0.0, log_floor=float(np.finfo(np.float32).eps),
    cepstral_lifter=22.0,
)  # fmt: skip
"""Kaldi's default 13 cepstra (23 bands, Povey window, lifter 22), with ``--use-energy=false``."""


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


def mel_bank(spec: FeatureSpec) -> np.ndarray:
    """Return the bands' weights, (n_fft // 2 + 1, n_mels) float64.

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
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_scale == "kaldi":
        bank[-1] = 0.0
    if spec.mel_norm == "slaney":
        edges_hz = _hertz(np.linspace(low, high, spec.n_mels + 2), spec.mel_scale)
        bank *= 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return bank


def window_function(spec: FeatureSpec) -> np.ndarray:
    """Return the window, (window_samples,) float64. ``povey`` is the Hann window to the power 0.85."""
    length = spec.window_samples
    phase = 2 * np.pi * np.arange(length) / (length if spec.periodic else length - 1)
    if spec.window == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    hann = 0.5 - 0.5 * np.cos(phase)
    return hann**0.85 if spec.window == "povey" else hann


def cosine_transform(spec: FeatureSpec) -> np.ndarray:
    """Return the orthonormal DCT-II with Kaldi's liftering, (n_mels, n_mfcc) float64."""
    bands, order = np.arange(spec.n_mels)[:, None], np.arange(spec.n_mfcc)[None, :]
    matrix = np.sqrt(2.0 / spec.n_mels) * np.cos(np.pi / spec.n_mels * (bands + 0.5) * order)
    matrix[:, 0] = math.sqrt(1.0 / spec.n_mels)
    if spec.cepstral_lifter:
        matrix *= 1.0 + 0.5 * spec.cepstral_lifter * np.sin(np.pi * order / spec.cepstral_lifter)
    return matrix


@dataclass(frozen=True)
class _Constants:
    window: Tensor
    bank: Tensor
    cosines: Tensor | None


@lru_cache(maxsize=16)
def _constants(spec: FeatureSpec, device: str) -> _Constants:
    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(device)

    cosines = on_device(cosine_transform(spec)) if spec.kind == "mfcc" else None
    return _Constants(on_device(window_function(spec) * spec.scale), on_device(mel_bank(spec)), cosines)


def padded_length(num_samples: int, spec: FeatureSpec) -> int:
    """Return the room one utterance takes in a flat buffer: its whole hops, both margins, rounded up to hops."""
    hop = spec.hop_samples
    margins = spec.window_samples - hop
    return (num_samples // hop + -(-margins // hop)) * hop


def reflect_into(target: Any, waveform: Any, spec: FeatureSpec) -> None:
    """Write (…, S) samples with reflected margins into (…, padded_length(S)).

    Works alike on arrays and tensors; a waveform shorter than a margin is reflected repeatedly.
    """
    samples, margin = waveform.shape[-1], (spec.window_samples - spec.hop_samples) // 2
    needed = samples // spec.hop_samples * spec.hop_samples + margin
    end = min(samples, needed)
    target[..., margin : margin + end] = waveform[..., :end]
    if samples >= margin:
        target[..., :margin] = _reversed(waveform[..., :margin])
        target[..., margin + end : margin + needed] = _reversed(waveform[..., samples - (needed - end) :])
    else:
        index = np.concatenate([np.arange(-margin, 0), np.arange(end, needed)]) % (2 * samples)
        index = np.where(index < samples, index, 2 * samples - 1 - index)
        target[..., :margin] = waveform[..., index[:margin]]
        target[..., margin + end : margin + needed] = waveform[..., index[margin:]]
    target[..., margin + needed :] = 0


def _reversed(part: Any) -> Any:
    return part.flip(-1) if isinstance(part, Tensor) else part[..., ::-1]


def frames_to_features(flat: Tensor, spec: FeatureSpec, out: Tensor | None = None) -> Tensor:
    """Return the features of every window of a flat buffer, (padded samples,) to (frames, n_mels or n_mfcc) float32.

    The buffer's length must be ``(frames - 1) * hop + window``. No gradient flows. ``out`` may be of another dtype.
    """
    with torch.no_grad():
        constants = _constants(spec, str(flat.device))
        frames = flat.unfold(0, spec.window_samples, spec.hop_samples)
        width = constants.bank.shape[1] if constants.cosines is None else constants.cosines.shape[1]
        result = torch.empty(len(frames), width, device=flat.device) if out is None else out
        step = BLOCK_FRAMES if flat.device.type == "cpu" else _GPU_BLOCK_FRAMES
        buffer = flat.new_zeros(min(step, len(frames)), spec.n_fft)
        for begin in range(0, len(frames), step):
            block = frames[begin : begin + step]
            result[begin : begin + len(block)] = _block(block, buffer[: len(block)], spec, constants)
        return result


def _block(frames: Tensor, buffer: Tensor, spec: FeatureSpec, constants: _Constants) -> Tensor:
    windowed = buffer[:, : spec.window_samples]
    if spec.remove_dc or spec.preemphasis:
        torch.sub(frames, frames.mean(1, keepdim=True) if spec.remove_dc else 0.0, out=windowed)
        if spec.preemphasis:
            # Kaldi continues a frame to the left with its own first sample.
            previous = torch.cat([windowed[:, :1], windowed[:, :-1]], dim=1)
            windowed.sub_(previous, alpha=spec.preemphasis)
        windowed.mul_(constants.window)
    else:
        torch.mul(frames, constants.window, out=windowed)
    spectrum = torch.fft.rfft(buffer)
    power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    energies = power @ constants.bank
    if spec.log_floor:
        energies.clamp_(min=spec.log_floor)
    if spec.log_offset:
        energies.add_(spec.log_offset)
    energies.log_()
    return energies if constants.cosines is None else energies @ constants.cosines


def extract(waveform: Tensor, spec: FeatureSpec) -> Tensor:
    """Compute features of equally long waveforms, without normalisation or gradient.

    Shapes: (B, S) or (S,) float32 in [-1, 1] at 16 kHz to (B, T, F) or (T, F) float32, ``T = S // hop // stack``.
    """
    if waveform.ndim == 1:
        return extract(waveform[None], spec)[0]
    items, samples = waveform.shape
    hop, room = spec.hop_samples, padded_length(samples, spec)
    hops = samples // hop
    if not hops or not items:
        return waveform.new_zeros(items, 0, spec.dim)
    flat = waveform.new_zeros(items * room + spec.window_samples - hop)
    reflect_into(flat[: items * room].view(items, room), waveform.detach(), spec)
    features = frames_to_features(flat, spec).view(items, room // hop, -1)[:, :hops]
    return stack_frames(features, spec.stack).contiguous()


def stack_frames(features: Tensor, stack: int) -> Tensor:
    """Concatenate ``stack`` neighbouring frames: (B, T, F) to (B, T // stack, stack * F)."""
    if stack == 1:
        return features
    items, frames, width = features.shape
    return features[:, : frames // stack * stack].reshape(items, frames // stack, stack * width)


def __getattr__(name: str) -> object:
    """Offer :class:`FeatureStore` here too, without importing the stores' modules for a bare :func:`extract`."""
    if name == "FeatureStore":
        from greenbench.data.feature_store import FeatureStore

        return FeatureStore
    raise AttributeError(name)
