"""HuBERT with the encoder of ``transformers``, trained as published (arXiv 2106.07447).

Targets are k-means units of 39-dimensional MFCCs; the loss is the cross-entropy of cosine similarities between
projected frames and unit embeddings at temperature 0.1, on masked frames only. With ``iterations = 2`` a second model,
fresh, predicts 500 units of the first one's middle layer; the first gets 250k of the 650k updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from greenbench.data.features import FeatureSpec
from greenbench.models.attention import use_attend
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.capture import layer_outputs, only_layers
from greenbench.models.kmeans import cluster
from greenbench.models.masking import span_mask
from greenbench.models.relabel import Relabelling
from greenbench.models.unit_model import HOP_SAMPLES, UnitModel

MFCC_13 = FeatureSpec(kind="mfcc", n_mels=23, n_mfcc=13)


class Hubert(UnitModel):
    """Masked prediction of MFCC units from the waveform at 50 Hz."""

    frame_hz = 50.0
    feature_spec = None

    def __init__(
        self,
        *,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        feed_forward: int = 3072,
        conv_channels: int = 512,
        feat_extract_norm: str = "group",
        stable_layer_norm: bool = False,
        conv_pos_kernel: int = 128,
        conv_pos_groups: int = 16,
        dropout: float = 0.1,
        layerdrop: float = 0.05,
        units: int = 100,
        projection: int = 256,
        temperature: float = 0.1,
        mask_prob: float = 0.8,
        mask_span: int = 10,
        target_seconds: float = 1200.0,
        iterations: int = 1,
        relabel_at: Sequence[float] = (250 / 650,),
        relabel_units: int = 500,
        relabel_layer: int = 0,
        relabel_seconds: float = 1200.0,
        reinitialise: bool = True,
    ) -> None:
        super().__init__()
        config = HubertConfig(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=feed_forward,
            conv_dim=(conv_channels,) * 7, feat_extract_norm=feat_extract_norm,
            do_stable_layer_norm=stable_layer_norm, conv_bias=stable_layer_norm,
            hidden_dropout=dropout, attention_dropout=dropout, activation_dropout=0.0, layerdrop=layerdrop,
            feat_proj_dropout=dropout, num_conv_pos_embeddings=conv_pos_kernel,
            num_conv_pos_embedding_groups=conv_pos_groups, mask_time_prob=0.05, mask_feature_prob=0.0,
        )  # fmt: skip
        use_attend(config)
        self.model = HubertModel(config)
        self.project = nn.Linear(width, projection)
        self.unit_embeddings = nn.Parameter(torch.empty(units, projection).uniform_())
        self.temperature, self.mask_prob, self.mask_span = temperature, mask_prob, mask_span
        self.target_seconds = target_seconds
        self.relabelling = Relabelling.of_stages(
            "iterations", iterations, relabel_at, units=relabel_units, layer=relabel_layer, seconds=relabel_seconds,
            restart=reinitialise,
        )  # fmt: skip
        self.later_embeddings = nn.ParameterList(
            nn.Parameter(torch.empty(relabel_units, projection).uniform_()) for _ in self.relabel_at
        )
        self.relabelled_layer()

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - clustering runs on the CPU
        progress: Callable[[str, float], None],
    ) -> None:
        """Fit k-means to MFCCs with first and second differences; keep every second 10 ms label."""

        cepstra = data.all_features(MFCC_13)

        def frames_of(index: int) -> np.ndarray:
            return with_differences(cepstra(index).astype(np.float32))[::2]

        self.labels, self.target_flops = cluster(
            frames_of, data.num_samples, k=len(self.unit_embeddings), hop_samples=HOP_SAMPLES, seed=seed,
            fit_seconds=self.target_seconds, progress=progress,
        )  # fmt: skip

    def frames(self, num_samples: int) -> int:
        """Return how many frames the convolutional front end gives for so many samples."""
        return int(self.model._get_feat_extract_output_lengths(num_samples))

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over unit embeddings at masked frames."""
        if batch.waveform is None or self.labels is None:
            raise ValueError("Hubert needs the waveform and targets")
        frames = self.frames(batch.num_samples)
        mask = span_mask(batch.size, frames, prob=self.mask_prob, span=self.mask_span, generator=info.generator).to(
            batch.waveform.device
        )
        hidden = self.model(_normalise(batch.waveform), mask_time_indices=mask).last_hidden_state
        targets = self.labels.crop(batch.utterances, batch.starts, frames).to(mask.device)[mask]
        projected = F.normalize(self.project(hidden[mask]).float(), dim=-1)
        embeddings = self.later_embeddings[self.stage - 1] if self.stage else self.unit_embeddings
        logits = projected @ F.normalize(embeddings.float(), dim=-1).T / self.temperature
        loss = F.cross_entropy(logits, targets)
        return loss, {"accuracy": (logits.argmax(-1) == targets).float().mean().detach()}

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return the projected front end's output and each layer's output."""
        if batch.waveform is None:
            raise ValueError("Hubert needs the waveform")
        return list(self.model(_normalise(batch.waveform), output_hidden_states=True).hidden_states)

    def target_features(self, batch: Batch) -> Tensor:
        """Return the output of the layer that is clustered; later ones do not run."""
        if batch.waveform is None:
            raise ValueError("Hubert needs the waveform")
        wave = _normalise(batch.waveform)
        with only_layers(self.model.encoder, self.relabelled_layer()) as layers:
            return layer_outputs(layers, lambda: self.model(wave))[-1]

    def trunk_layers(self) -> list[nn.Module]:
        """Return the encoder layers."""
        return list(self.model.encoder.layers)


def with_differences(features: np.ndarray) -> np.ndarray:
    """Append first and second differences over time, (T, F) -> (T, 3 F); regression over two frames either side."""

    def slope(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
        return (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10

    first = slope(features)
    return np.concatenate([features, first, slope(first)], axis=1)


def _normalise(waveform: Tensor) -> Tensor:
    """Scale each waveform to zero mean and unit variance, as the published feature extractor does."""
    mean = waveform.mean(dim=-1, keepdim=True)
    return (waveform - mean) / (waveform.var(dim=-1, keepdim=True, unbiased=False) + 1e-7).sqrt()
