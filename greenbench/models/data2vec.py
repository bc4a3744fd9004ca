"""data2vec with the encoder of ``transformers`` (arXiv 2202.03555), optionally with several masks per clip.

A teacher that follows the student as a moving average sees the whole clip; the student sees it masked and regresses
the teacher's averaged upper layers at masked frames. With ``masking.per_clip`` above 1 one teacher pass and one front
end serve several masked versions of each clip, the first lever of data2vec 2.0 (arXiv 2212.07525).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Data2VecAudioConfig, Data2VecAudioModel

from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.ema import follow, linear_decay, make_teacher
from greenbench.models.encoders import WaveformShape
from greenbench.models.masking import Masking
from greenbench.models.transformers_macs import waveform_model_macs
from greenbench.models.waveform import full_precision, normalise


@dataclass(frozen=True)
class Data2VecShape(WaveformShape):
    """Positions by ``conv_pos_depth`` convolutions of ``conv_pos_kernel`` frames one after the other."""

    conv_pos_kernel: int = 19
    conv_pos_depth: int = 5


@dataclass(frozen=True)
class SeveralMasks(Masking):
    """``per_clip`` masked versions of each clip share one pass of the teacher."""

    per_clip: int = 1

    def __post_init__(self) -> None:
        if self.per_clip < 1:
            raise ValueError(f"per_clip = {self.per_clip} must be 1 or more")


@dataclass(frozen=True)
class LayerTeacher:
    """The mean of a teacher's ``top_layers`` is the target.

    The teacher keeps ``ema_start`` of itself in a step, rising to ``ema_end`` at the fraction ``ema_by`` of the budget.
    """

    top_layers: int = 8
    ema_start: float = 0.999
    ema_end: float = 0.9999
    ema_by: float = 0.075


ENCODER = Data2VecShape()
MASKING = SeveralMasks(probability=0.65, span=10)
TEACHER = LayerTeacher()


class Data2Vec(Upstream):
    """Regression of a moving-average teacher's contextual targets at 50 Hz."""

    def __init__(
        self, *, encoder: Data2VecShape = ENCODER, masking: SeveralMasks = MASKING, teacher: LayerTeacher = TEACHER
    ) -> None:
        super().__init__()
        if not 1 <= teacher.top_layers <= encoder.layers:
            raise ValueError(
                f"teacher.top_layers = {teacher.top_layers} must lie between 1 and encoder.layers = {encoder.layers}"
            )
        config = encoder.config(Data2VecAudioConfig, num_conv_pos_embeddings=encoder.conv_pos_depth)
        config.conv_pos_kernel_size = encoder.conv_pos_kernel
        self.model = Data2VecAudioModel(config)
        self.head = nn.Linear(encoder.width, encoder.width)
        self.teacher = make_teacher(self.model.encoder)
        self.masking, self.teaching = masking, teacher

    def _frames(self, waveform: Tensor) -> Tensor:
        features = self.model.feature_extractor(normalise(waveform)).transpose(1, 2)
        return self.model.feature_projection(features)[0]

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error between prediction and teacher at masked frames."""
        frames, masks = self._frames(self.waveform_of(batch)), self.masking.per_clip
        mask = self.masking.draw(batch.size * masks, frames.shape[1], info.draws)
        targets = self._targets(frames.detach()).repeat(masks, 1, 1)
        visible = frames.repeat(masks, 1, 1)
        masked = torch.where(mask.unsqueeze(-1), self.model.masked_spec_embed.to(visible.dtype), visible)
        predicted = self.head(self.model.encoder(masked)[0])
        # Weighted, not picked: see masked_cross_entropy.
        weight = mask.unsqueeze(-1) / mask.sum()
        loss = ((predicted.float() - targets).square() * weight).sum() / targets.shape[-1]
        centre = (targets * weight).sum((0, 1))
        deviation = ((targets - centre).square() * weight).sum((0, 1)).sqrt()
        return loss, {"target_deviation": deviation.mean()}

    @torch.no_grad()
    def _targets(self, frames: Tensor) -> Tensor:
        """Compute the mean of the top layers' feed-forward outputs, each normalised over time, (B, T, D) float32."""
        layers: Any = self.teacher.layers
        networks = [layer.feed_forward for layer in layers][-self.teaching.top_layers :]
        self.teacher.eval()  # no dropout, whatever mode the student is in
        outputs = layer_outputs(networks, lambda: self.teacher(frames))[1:]
        with full_precision(frames):
            return torch.stack([F.instance_norm(o.float().transpose(1, 2)) for o in outputs]).mean(0).transpose(1, 2)

    def after_step(self, info: StepInfo) -> None:
        """Let the teacher follow."""
        teaching = self.teaching
        decay = linear_decay(info.fraction, teaching.ema_start, teaching.ema_end, by=teaching.ema_by)
        follow(self.teacher, self.model.encoder, decay)

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the encoder's input and each layer's output."""
        frames = self._frames(self.waveform_of(batch))
        return layer_outputs(self.trunk_layers(), lambda: self.model.encoder(frames))

    def trunk_layers(self) -> list[nn.Module]:
        """List the encoder layers."""
        return list(self.model.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        return waveform_model_macs(num_samples, self.model.config)
