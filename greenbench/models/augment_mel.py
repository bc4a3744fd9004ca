"""Cheap distortions of log-mel frames that keep what is said: vocal-tract warps and mixed-in speech."""

from __future__ import annotations

import torch
from torch import Tensor


def warp_bands(features: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Shift and stretch the mel axis of (B, T, F) by up to ``strength`` per crop, with linear interpolation.

    A vocal tract of another length moves formants along the mel axis (vocal tract length perturbation, Jaitly and
    Hinton 2013): the same phones from another voice, for two gathers.
    """
    batch, length, bands = features.shape
    stretch = 1 + strength * (2 * torch.rand(batch, 1, generator=generator) - 1)
    shift = strength * bands / 4 * (2 * torch.rand(batch, 1, generator=generator) - 1)
    position = (torch.arange(bands)[None] * stretch + shift).clamp(0, bands - 1.001)
    low = position.floor().long()
    share = (position - low)[:, None].to(features)
    index = low[:, None].expand(batch, length, bands).to(features.device)
    below, above = features.gather(2, index), features.gather(2, index + 1)
    return torch.lerp(below, above, share)


def mix_neighbours(
    features: Tensor, mean: Tensor, std: Tensor, generator: torch.Generator, *, prob: float, low: float, high: float
) -> Tensor:
    """Add the next crop of the batch with probability ``prob``, at a power of exp(``low``..``high``) of its own.

    Powers add, so in the log domain it is ``logaddexp`` (the phase is neglected): utterance mixing as in WavLM
    (arXiv 2110.13900) for the price of one elementwise function.
    """
    batch = len(features)
    gain = low + (high - low) * torch.rand(batch, 1, 1, generator=generator)
    gain = torch.where(torch.rand(batch, 1, 1, generator=generator) < prob, gain, torch.full_like(gain, -100.0))
    raw = features * std + mean
    mixed = torch.logaddexp(raw, raw.roll(1, 0) + gain.to(features))
    return (mixed - mean) / std
