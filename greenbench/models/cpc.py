"""Modified contrastive predictive coding (arXiv 2002.02848): the smallest contrastive model of the field.

Five strided convolutions give latents at 100 Hz, a recurrent layer sums up the past, and one Transformer layer with a
head for each of the next frames must tell them from other frames of the same crop, thus of the same speaker.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.draws import Purpose
from greenbench.models.macs import conv_length
from greenbench.models.waveform import full_precision, normalise

KERNELS, STRIDES, PADDING = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2), (3, 2, 1, 1, 1)


@dataclass(frozen=True)
class CpcShape:
    """Channels of the latents and the context, and the shape of the one Transformer layer behind them."""

    width: int = 256
    heads: int = 8
    feed_forward: int = 1024
    dropout: float = 0.1


@dataclass(frozen=True)
class FutureContrast:
    """Each of the next ``steps`` frames is told from ``negatives`` others of its crop."""

    steps: int = 12
    negatives: int = 128


ENCODER = CpcShape()
CONTRAST = FutureContrast()


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T), which batch statistics and long silences do not upset."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalise (B, C, T)."""
        return self.norm(frames.transpose(1, 2)).transpose(1, 2)


class Cpc(Upstream):
    """Contrastive prediction of the next latent frames at 100 Hz."""

    frame_hz = 100.0

    def __init__(self, *, encoder: CpcShape = ENCODER, contrast: FutureContrast = CONTRAST) -> None:
        super().__init__()
        width = encoder.width
        blocks: list[nn.Module] = []
        channels = 1
        for kernel, stride, padding in zip(KERNELS, STRIDES, PADDING, strict=True):
            blocks += [
                nn.Conv1d(channels, width, kernel, stride=stride, padding=padding),
                ChannelNorm(width),
                nn.ReLU(),
            ]
            channels = width
        self.encoder = nn.Sequential(*blocks)
        self.context = nn.LSTM(width, width, batch_first=True)
        self.predictor = nn.TransformerEncoderLayer(
            width,
            encoder.heads,
            encoder.feed_forward,
            dropout=encoder.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        # Started near the identity: a random layer would drown the still faint context, and the latents collapse. Not
        # at it, or no gradient would reach the layers behind these two in the first step.
        for branch in (self.predictor.self_attn.out_proj, self.predictor.linear2):
            nn.init.normal_(branch.weight, std=1e-3)
        self.steps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(contrast.steps))
        self.negatives = contrast.negatives

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        latent = self.encoder(normalise(self.waveform_of(batch)).unsqueeze(1)).transpose(1, 2)
        return latent, self.context(latent)[0]

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """InfoNCE of each of the next frames against random frames of the crop, averaged over the steps."""
        latent, context = self._encode(batch)
        rows, frames, _ = latent.shape
        if frames <= len(self.steps):
            raise ValueError(f"a crop of {frames} frames is too short to predict {len(self.steps)} ahead")
        causal = nn.Transformer.generate_square_subsequent_mask(frames, device=latent.device, dtype=context.dtype)
        future = self.predictor(context, src_mask=causal, is_causal=True)
        chosen = info.draws.below(Purpose.NEGATIVES, rows, self.negatives, frames)
        distractors = latent.gather(1, chosen.unsqueeze(-1).expand(-1, -1, latent.shape[-1]))
        losses, won = [], []
        for number, step in enumerate(self.steps, start=1):
            loss, accuracy = _info_nce(step(future[:, :-number]), latent[:, number:], distractors)
            losses.append(loss)
            won.append(accuracy)
        return torch.stack(losses).mean(), {"accuracy": torch.stack(won).mean().detach()}

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the latents and the context."""
        return list(self._encode(batch))

    def trunk_layers(self) -> list[nn.Module]:
        """List the recurrent layer."""
        return [self.context]

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        width, length, channels, total = self.context.hidden_size, num_samples, 1, 0.0
        for kernel, stride, padding in zip(KERNELS, STRIDES, PADDING, strict=True):
            length = conv_length(length, kernel, stride, padding)
            total += float(length) * channels * kernel * width
            channels = width
        return total + 8.0 * length * width * width


def _info_nce(predicted: Tensor, target: Tensor, distractors: Tensor) -> tuple[Tensor, Tensor]:
    """Compute loss and accuracy; (B, T, D), (B, T, D) and distractors (B, N, D) shared by all frames of a crop."""
    with full_precision(predicted):
        predicted, target, distractors = predicted.float(), target.float(), distractors.float()
        scale = predicted.shape[-1] ** -0.5
        true = (predicted * target).sum(dim=-1, keepdim=True)
        logits = torch.cat([true, predicted @ distractors.transpose(1, 2)], dim=-1) * scale
        won = (logits.argmax(dim=-1) == 0).float().mean()
        return -F.log_softmax(logits, dim=-1)[..., 0].mean(), won
