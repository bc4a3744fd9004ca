"""data2vec with the encoder of ``transformers`` (arXiv 2202.03555), optionally with several masks per clip.

A teacher that follows the student as a moving average sees the whole clip; the student sees it masked and regresses
the teacher's averaged upper layers at masked frames. With ``masks`` above 1 one teacher pass and one front end serve
several masked versions of each clip, the first lever of data2vec 2.0 (arXiv 2212.07525).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Data2VecAudioConfig, Data2VecAudioModel

from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.ema import follow, linear_decay, make_teacher
from greenbench.models.masking import span_mask
from greenbench.models.waveform import encoder_config, full_precision, normalise, takes_options_of


class Data2Vec(Upstream):
    """Regression of a moving-average teacher's contextual targets at 50 Hz."""

    @takes_options_of(encoder_config)
    def __init__(
        self,
        *,
        top_layers: int = 8,
        masks: int = 1,
        mask_prob: float = 0.65,
        mask_span: int = 10,
        ema_start: float = 0.999,
        ema_end: float = 0.9999,
        ema_by: float = 0.075,
        conv_pos_kernel: int = 19,
        conv_pos_depth: int = 5,
        **encoder: Any,
    ) -> None:
        super().__init__()
        if masks < 1:
            raise ValueError(f"masks = {masks} must be 1 or more")
        config = encoder_config(Data2VecAudioConfig, conv_pos_kernel=conv_pos_depth, **encoder)
        config.conv_pos_kernel_size = conv_pos_kernel
        if not 1 <= top_layers <= config.num_hidden_layers:
            raise ValueError(f"top_layers = {top_layers} must lie between 1 and layers = {config.num_hidden_layers}")
        self.model = Data2VecAudioModel(config)
        self.head = nn.Linear(config.hidden_size, config.hidden_size)
        self.teacher = make_teacher(self.model.encoder)
        self.top_layers, self.masks = top_layers, masks
        self.mask_prob, self.mask_span = mask_prob, mask_span
        self.ema_start, self.ema_end, self.ema_by = ema_start, ema_end, ema_by

    def train(self, mode: bool = True) -> Data2Vec:  # noqa: FBT001, FBT002 - torch's signature
        """Set the mode; the teacher stays without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _frames(self, waveform: Tensor) -> Tensor:
        features = self.model.feature_extractor(normalise(waveform)).transpose(1, 2)
        return self.model.feature_projection(features)[0]

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error between prediction and teacher at masked frames."""
        if batch.waveform is None:
            raise ValueError("Data2Vec needs the waveform")
        frames = self._frames(batch.waveform)
        mask = span_mask(
            batch.size * self.masks, frames.shape[1], prob=self.mask_prob, span=self.mask_span, generator=info.generator
        ).to(frames.device)
        targets = self._targets(frames.detach()).repeat(self.masks, 1, 1)[mask]
        visible = frames.repeat(self.masks, 1, 1)
        masked = torch.where(mask.unsqueeze(-1), self.model.masked_spec_embed.to(visible.dtype), visible)
        predicted = self.head(self.model.encoder(masked)[0][mask])
        loss = F.mse_loss(predicted.float(), targets)
        return loss, {"target_deviation": targets.std(dim=0).mean()}

    @torch.no_grad()
    def _targets(self, frames: Tensor) -> Tensor:
        """Return the mean of the top layers' feed-forward outputs, each normalised over time, (B, T, D) float32."""
        layers: Any = self.teacher.layers
        networks = [layer.feed_forward for layer in layers][-self.top_layers :]
        outputs = layer_outputs(networks, lambda: self.teacher(frames))[1:]
        with full_precision(frames):
            return torch.stack([F.instance_norm(o.float().transpose(1, 2)) for o in outputs]).mean(0).transpose(1, 2)

    def after_step(self, info: StepInfo) -> None:
        """Let the teacher follow."""
        follow(
            self.teacher, self.model.encoder, linear_decay(info.fraction, self.ema_start, self.ema_end, by=self.ema_by)
        )

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return the encoder's input and each layer's output."""
        if batch.waveform is None:
            raise ValueError("Data2Vec needs the waveform")
        frames = self._frames(batch.waveform)
        return layer_outputs(self.trunk_layers(), lambda: self.model.encoder(frames))

    def trunk_layers(self) -> list[nn.Module]:
        """Return the encoder layers."""
        return list(self.model.encoder.layers)
