"""Linear-time token mixers in place of attention, inside MelHuBERT: Fourier mixing and SummaryMixing.

Only the mixer differs from the baseline, so that a comparison shows the mixer. Every mixer takes and gives (B, T, D)
and stands where ``transformers``' encoder layer calls its attention.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.models.macs import attention_macs, feed_forward_macs, grouped_conv_macs
from greenbench.models.melhubert import MelHubert
from greenbench.models.waveform import full_precision, takes_options_of


class FourierMixing(nn.Module):
    """Real part of the Fourier transform over time and channels (FNet, arXiv 2105.03824); no parameters.

    Scaled to keep the input's energy, so that the residual sum stays balanced at any length.
    """

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """Return (B, T, D) and no attention weights."""
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

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """Return (B, T, D) and no attention weights."""
        local = F.gelu(self.local(hidden_states))
        summary = F.gelu(self.summary(hidden_states)).mean(dim=1, keepdim=True)
        return F.gelu(self.combine(torch.cat([local, summary.expand_as(local)], dim=-1))), None


class _Mixed(MelHubert):
    """MelHuBERT whose lower layers mix without attention; the last ``attention_layers`` keep it."""

    @takes_options_of(MelHubert.__init__)
    def __init__(self, *, attention_layers: int = 0, **options: Any) -> None:
        super().__init__(**options)
        layers = self.encoder.layers
        if not 0 <= attention_layers <= len(layers):
            raise ValueError(f"attention_layers = {attention_layers} must lie between 0 and layers = {len(layers)}")
        self.mixed_layers = len(layers) - attention_layers
        for layer in layers[: self.mixed_layers]:
            layer.attention = self._mixer(self.encoder.config.hidden_size)

    def _mixer(self, width: int) -> nn.Module:
        raise NotImplementedError

    def _mixer_macs(self, frames: int, width: int) -> float:
        raise NotImplementedError

    def analytic_macs(self, num_samples: int) -> float:
        """Return MACs of the representation of one crop, by formula."""
        config = self.encoder.config
        width, kernel = config.hidden_size, config.num_conv_pos_embeddings
        frames = self.feature_spec.num_frames(num_samples) // 2
        total = float(frames) * self.project.in_features * width
        total += grouped_conv_macs(frames + 1 - kernel % 2, width, kernel, config.num_conv_pos_embedding_groups)
        total += config.num_hidden_layers * feed_forward_macs(frames, width, config.intermediate_size)
        total += self.mixed_layers * self._mixer_macs(frames, width)
        return total + (config.num_hidden_layers - self.mixed_layers) * attention_macs(frames, width)


class FNet(_Mixed):
    """Masked prediction of log-mel units with Fourier mixing."""

    def _mixer(self, width: int) -> nn.Module:  # noqa: ARG002
        return FourierMixing()

    def _mixer_macs(self, frames: int, width: int) -> float:
        # 5 N log2 N FLOPs for a complex transform of N points (torch makes real input complex); two FLOPs to a MAC.
        points = frames * width
        return 5.0 * points * math.log2(points) / 2


class SummaryMixer(_Mixed):
    """Masked prediction of log-mel units with SummaryMixing."""

    def _mixer(self, width: int) -> nn.Module:
        return SummaryMixing(width)

    def _mixer_macs(self, frames: int, width: int) -> float:
        return 4.0 * frames * width * width
