"""MelHuBERT: a HuBERT that reads log-mel frames, trained as published (arXiv 2211.09944).

Recipe: 40-dim Kaldi filter bank, two 10 ms frames concatenated; k-means units of the same frames as targets; masked
input frames set to zero before the projection; plain cross-entropy on masked frames only; no front-end network. The
encoder is the one of ``transformers``' HuBERT. With ``stages = 2`` a second model, fresh, predicts units of the first
one's hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import HubertConfig
from transformers.models.hubert.modeling_hubert import HubertEncoder

from greenbench.features.spec import KALDI_FBANK_40
from greenbench.models.attention import use_attend
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.capture import layer_outputs, only_layers
from greenbench.models.kmeans import cluster
from greenbench.models.masking import masked_cross_entropy, span_mask
from greenbench.models.relabel import Relabelling
from greenbench.models.unit_model import HOP_SAMPLES, UnitModel
from greenbench.models.visible import VisibleOnly, equal_counts
from greenbench.progress import Progress


class MelHubert(UnitModel):
    """Masked prediction of k-means units of log-mel frames at 50 Hz.

    With ``drop_masked`` (not in the publication) the encoder's layers see the visible frames only.
    """

    frame_hz = 50.0
    feature_spec = KALDI_FBANK_40

    def __init__(
        self,
        *,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        feed_forward: int = 3072,
        dropout: float = 0.1,
        conv_pos_kernel: int = 128,
        conv_pos_groups: int = 16,
        units: int = 512,
        mask_prob: float = 0.7,
        mask_span: int = 5,
        unmasked_weight: float = 0.0,
        target_seconds: float = 1200.0,
        stages: int = 1,
        relabel_at: Sequence[float] = (0.5,),
        relabel_units: int = 0,
        relabel_layer: int = 0,
        relabel_seconds: float = 1200.0,
        reinitialise: bool = True,
        drop_masked: bool = False,
    ) -> None:
        super().__init__()
        config = HubertConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            hidden_dropout=dropout,
            attention_dropout=dropout,
            activation_dropout=dropout,
            layerdrop=0.0,
            num_conv_pos_embeddings=conv_pos_kernel,
            num_conv_pos_embedding_groups=conv_pos_groups,
        )
        use_attend(config)
        self.project = nn.Linear(2 * KALDI_FBANK_40.n_mels, width)
        self.encoder = HubertEncoder(config)
        self.predict = nn.Linear(width, units)
        self.visible = VisibleOnly(width, heads=heads) if drop_masked else None
        self.dropout = nn.Dropout(dropout)
        self.relabelling = Relabelling.of_stages(
            "stages",
            stages,
            relabel_at,
            units=relabel_units or units,
            layer=relabel_layer,
            seconds=relabel_seconds,
            restart=reinitialise,
        )
        self.predict_later = nn.ModuleList(nn.Linear(width, self.relabelling.units) for _ in self.relabel_at)
        self.relabelled_layer()
        self.mask_prob, self.mask_span, self.unmasked_weight = mask_prob, mask_span, unmasked_weight
        self.target_seconds = target_seconds

    @staticmethod
    def _stack(features: Tensor) -> Tensor:
        """Concatenate pairs of 10 ms frames, (B, T, F) -> (B, T // 2, 2 F)."""
        batch, frames, bins = features.shape
        return features[:, : frames // 2 * 2].reshape(batch, frames // 2, 2 * bins)

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - clustering runs on the CPU
        progress: Progress,
    ) -> None:
        """Fit k-means to single 10 ms frames' pairs and keep the label of every second frame."""

        def frames_of(index: int) -> np.ndarray:
            features = torch.from_numpy(np.asarray(data.features(index), dtype=np.float32))
            return self._stack(features[None])[0].numpy()

        self.labels, self.target_flops = cluster(
            frames_of,
            data.num_samples,
            k=self.predict.out_features,
            hop_samples=HOP_SAMPLES,
            seed=seed,
            fit_seconds=self.target_seconds,
            progress=progress,
        )

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the units of masked frames, and of visible ones with ``unmasked_weight``."""
        if batch.features is None or self.labels is None:
            raise ValueError("MelHubert needs features and targets")
        frames = self._stack(batch.features)
        mask = span_mask(
            len(frames), frames.shape[1], prob=self.mask_prob, span=self.mask_span, generator=info.generator
        )
        if self.visible is not None:
            mask = equal_counts(mask, info.generator)
        hidden = self._encode(frames, mask)
        mask = mask.to(frames.device)
        targets = self.labels.crop(batch.utterances, batch.starts, frames.shape[1]).to(frames.device)
        predict = self.predict_later[self.stage - 1] if self.stage else self.predict
        loss, accuracy = masked_cross_entropy(predict, hidden, targets, mask, unmasked_weight=self.unmasked_weight)
        return loss, {"accuracy": accuracy}

    def _encode(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the encoder's output for frames (B, T, 2 F) of which those in ``mask`` (B, T) are hidden."""
        hidden = self.dropout(self.project(frames.masked_fill(mask.to(frames.device).unsqueeze(-1), 0.0)))
        if self.visible is None:
            return self.encoder(hidden)[0]
        hidden = self.encoder.layer_norm(hidden + self.encoder.pos_conv_embed(hidden))
        return self.visible(self.encoder.dropout(hidden), mask, self._layers)

    def _layers(self, hidden: Tensor) -> Tensor:
        rate = self.encoder.config.layerdrop
        for layer in self.encoder.layers:
            if not (self.training and rate and float(torch.rand(())) < rate):
                hidden = layer(hidden, attention_mask=None)
        return hidden

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return the projected input and each layer's output."""
        if batch.features is None:
            raise ValueError("MelHubert needs features")
        projected = self.project(self._stack(batch.features))
        return layer_outputs(self.encoder.layers, lambda: self.encoder(projected))

    def target_features(self, batch: Batch) -> Tensor:
        """Return the output of the layer that is clustered; later ones do not run."""
        if batch.features is None:
            raise ValueError("MelHubert needs features")
        projected = self.project(self._stack(batch.features))
        with only_layers(self.encoder, self.relabelled_layer()) as layers:
            return layer_outputs(layers, lambda: self.encoder(projected))[-1]

    def trunk_layers(self) -> list[nn.Module]:
        """Return the encoder layers."""
        return list(self.encoder.layers)
