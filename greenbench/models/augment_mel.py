"""Cheap maps of log-mel frames that keep what is said: vocal-tract warps and utterance normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from greenbench.models.draws import Draws, Purpose

_FLOOR = 0.1
"""Added to a band's deviation, in deviations of the corpus."""


def warp_bands(features: Tensor, strength: float, draws: Draws) -> Tensor:
    """Shift and stretch the mel axis of (B, T, F) by up to ``strength`` per crop, with linear interpolation.

    A vocal tract of another length moves formants along the mel axis (vocal tract length perturbation, Jaitly and
    Hinton 2013): the same phones from another voice, for two gathers.
    """
    batch, length, bands = features.shape
    stretch, shift = (strength * (2 * draws.uniform(Purpose.WARP, batch, 2) - 1)).to(features.device).split(1, dim=1)
    position = torch.arange(bands, device=features.device) * (1 + stretch) + shift * (bands / 4)
    position = position.clamp(0, bands - 1.001)
    low = position.floor().long()
    share = (position - low)[:, None].to(features)
    # Expanded where the features lie: the host would write and copy eight bytes a value.
    below, above = (features.gather(2, (low + k)[:, None].expand(batch, length, bands)) for k in (0, 1))
    return torch.lerp(below, above, share)


def normalise_bands(features: Tensor) -> Tensor:
    """Give each band of (B, T, F) mean 0 and deviation 1 over time; one that hardly moves is not blown up."""
    spread, mean = torch.std_mean(features, dim=1, correction=0, keepdim=True)
    return (features - mean) / (spread + _FLOOR)
