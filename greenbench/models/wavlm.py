"""WavLM with the encoder of ``transformers`` (arXiv 2110.13900): HuBERT's loss on mixed input.

Part of the crops get another crop of the batch, or noise, added to a random stretch of at most half their length; the
units to predict are those of the clean crop. The encoder adds a gated relative position bias to attention.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import WavLMConfig, WavLMModel

from greenbench.models.base import Batch, StepInfo
from greenbench.models.draws import Draws, Purpose
from greenbench.models.encoders import WaveformShape
from greenbench.models.hubert import HEAD, MASKING, TARGETS, CosineHead, Hubert
from greenbench.models.masking import WeightedMasking
from greenbench.models.unit_model import UnitTargets


@dataclass(frozen=True)
class WavLmShape(WaveformShape):
    """Attention with a bias for distances up to ``max_distance`` frames in ``buckets``."""

    buckets: int = 320
    max_distance: int = 800


@dataclass(frozen=True)
class Interference:
    """With ``probability`` a crop is mixed with something: in ``noise_share`` of the cases noise, else another crop."""

    probability: float = 0.2
    noise_share: float = 0.5


ENCODER = WavLmShape()
MIXED = Interference()
_PLACEHOLDER = WaveformShape(layers=1, heads=1, feed_forward=1, conv_channels=1, conv_pos_kernel=1, conv_pos_groups=1)
"""HuBERT's encoder is built this small, to be replaced by WavLM's."""


class WavLm(Hubert):
    """Masked prediction of units of the main speaker from mixed waveforms at 50 Hz."""

    one_graph = False

    def __init__(
        self,
        *,
        encoder: WavLmShape = ENCODER,
        head: CosineHead = HEAD,
        targets: UnitTargets = TARGETS,
        masking: WeightedMasking = MASKING,
        mixed: Interference = MIXED,
    ) -> None:
        placeholder = dataclasses.replace(_PLACEHOLDER, width=encoder.width)
        super().__init__(encoder=placeholder, head=head, targets=targets, masking=masking)
        config = encoder.config(
            WavLMConfig, num_buckets=encoder.buckets, max_bucket_distance=encoder.max_distance, attn_implementation=None
        )
        self.add_module("model", WavLMModel(config))
        self.mixed = mixed

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over units at masked frames of the mixed waveforms."""
        options = self.mixed
        mixed = mix(self.waveform_of(batch), info.draws, prob=options.probability, noise_share=options.noise_share)
        return super().loss(dataclasses.replace(batch, waveform=mixed), info)


def mix(waveform: Tensor, draws: Draws, *, prob: float, noise_share: float) -> Tensor:
    """Add interference to a random stretch of each crop with probability ``prob``, (B, S) -> (B, S).

    The stretch covers up to half the crop. Interference is another crop at -5 to 5 dB of the crop's energy, or, with
    probability ``noise_share``, white noise at -5 to 20 dB below it (the published ranges of mixing ratios).
    """
    rows, samples = waveform.shape
    device = waveform.device
    draw = draws.uniform(Purpose.MIXTURE, rows, 6).to(device).t().unsqueeze(2)
    length = (draw[1] * samples / 2).long()
    begin = (draw[2] * (samples - length + 1)).long()
    time = torch.arange(samples, device=device)
    inside = (time >= begin) & (time < begin + length) & (draw[0] < prob)
    is_noise = draw[3] < noise_share
    ratio_db = torch.where(is_noise, -5 + 25 * draw[4], -5 + 10 * draw[4])
    # Another crop, never the same one: shifted by 1 .. rows - 1 places.
    away = 1 + (draw[5, :, 0] * max(rows - 1, 1)).long().clamp(max=max(rows - 2, 0))
    other = (torch.arange(rows, device=device) + away) % rows
    interference = torch.where(is_noise, torch.randn_like(waveform), waveform[other])
    level = _rms(waveform) / _rms(interference) * 10 ** (-ratio_db / 20)
    return torch.where(inside, waveform + level * interference, waveform)


def _rms(waveform: Tensor) -> Tensor:
    return waveform.square().mean(dim=-1, keepdim=True).sqrt() + 1e-7
