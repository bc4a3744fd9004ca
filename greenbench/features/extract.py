"""Log-mel and MFCC features: one definition, computed in blocks of frames on whatever device the audio is on.

Conventions, the same for every preset: frame ``t`` is centred on sample ``(t + 0.5) * hop``, there are exactly
``S // hop`` frames, and the ends are continued by reflection (``x[-1] = x[0]``, ``x[-2] = x[1]``, …). This is Kaldi's
``--snip-edges=false`` with the last, incomplete hop left out, so that a crop of the waveform at a multiple of the hop
and a crop of the features cover the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from greenbench.features.mel import cosine_transform, mel_bank, window_function
from greenbench.features.spec import FeatureSpec

BLOCK_FRAMES = 512
"""Frames worked on at once on a CPU: a block's buffers stay in the second-level cache (fastest of 256 to 4096)."""
_GPU_BLOCK_FRAMES = 65_536


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
    """The room one utterance takes in a flat buffer: its whole hops, both margins, rounded up to hops."""
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
    """The features of every window of a flat buffer, (padded samples,) to (frames, n_mels or n_mfcc) float32.

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
    energies: torch.Tensor = power @ constants.bank
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
