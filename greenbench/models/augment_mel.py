"""Cheap maps of log-mel frames that keep what is said: vocal-tract warps and utterance normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 0.1
"""Added to a band's deviation, in deviations of the corpus."""


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


def normalise_bands(features: Tensor) -> Tensor:
    """Give each band of (B, T, F) mean 0 and deviation 1 over time; one that hardly moves is not blown up."""
    spread, mean = torch.std_mean(features, dim=1, correction=0, keepdim=True)
    return (features - mean) / (spread + _FLOOR)
