"""Linear-time token mixers in place of attention: Fourier mixing and SummaryMixing.

Only the mixer differs from the baseline, MelHuBERT, so that a comparison shows the mixer. Every mixer takes and gives
(B, T, D) and stands where ``transformers``' encoder layer calls its attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.models.waveform import full_precision


@dataclass(frozen=True)
class Mixing:
    """What frames of an encoder are mixed by; the last ``attention_layers`` keep their attention."""

    kind: Literal["attention", "fourier", "summary"] = "attention"
    attention_layers: int = 0


class FourierMixing(nn.Module):
    """Real part of the Fourier transform over time and channels (FNet, arXiv 2105.03824); no parameters.

    Scaled to keep the input's energy, so that the residual sum stays balanced at any length.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def macs(self, frames: int) -> float:
        """Work out 5 N log2 N FLOPs for a complex transform of N points (torch makes real input complex), as MACs."""
        points = frames * self.width
        return 5.0 * points * math.log2(points) / 2

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """(B, T, D) and no attention weights."""
        with full_precision(hidden_states):
            mixed = torch.fft.fft2(hidden_states.float(), norm="ortho").real
        return mixed.to(hidden_states.dtype), None


class SummaryMixing(nn.Module):
    """Each frame joined with the mean of a transform of all frames (arXiv 2307.07421); linear in time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = nn.Linear(width, width)
        self.summary = nn.Linear(width, width)
        self.combine = nn.Linear(2 * width, width)

    def macs(self, frames: int) -> float:
        """Work out the three linear layers; the last reads twice the width."""
        return 4.0 * frames * self.local.in_features**2

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """(B, T, D) and no attention weights."""
        local = F.gelu(self.local(hidden_states))
        summary = F.gelu(self.summary(hidden_states)).mean(dim=1, keepdim=True)
        return F.gelu(self.combine(torch.cat([local, summary.expand_as(local)], dim=-1))), None


def replace_attention(layers: nn.ModuleList, mixing: Mixing, width: int) -> list[FourierMixing] | list[SummaryMixing]:
    """Put mixers in the place of the attention of all but the last ``attention_layers``; return them."""
    if mixing.kind == "attention":
        return []
    if not 0 <= mixing.attention_layers <= len(layers):
        raise ValueError(
            f"mixing.attention_layers = {mixing.attention_layers} must lie between 0 and encoder.layers = {len(layers)}"
        )
    mixers = []
    changed: list[Any] = list(layers)[: len(layers) - mixing.attention_layers]
    for layer in changed:
        layer.attention = FourierMixing(width) if mixing.kind == "fourier" else SummaryMixing(width)
        mixers.append(layer.attention)
    return mixers
