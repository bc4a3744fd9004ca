"""HuBERT with the encoder of ``transformers``, trained as published (arXiv 2106.07447).

Targets are k-means units of 39-dimensional MFCCs; the loss is the cross-entropy of cosine similarities between
projected frames and unit embeddings at temperature 0.1, on masked frames only. With ``iterations = 2`` a second model,
fresh, predicts 500 units of the first one's middle layer; the first gets 250k of the 650k updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from greenbench.features.spec import FeatureSpec
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.capture import layer_outputs, only_layers
from greenbench.models.kmeans import cluster
from greenbench.models.masking import masked_cross_entropy, span_mask
from greenbench.models.relabel import Relabelling
from greenbench.models.unit_model import HOP_SAMPLES, UnitModel
from greenbench.models.waveform import encoder_config, normalise, takes_options_of
from greenbench.progress import Progress

MFCC_13 = FeatureSpec(kind="mfcc", n_mels=23, n_mfcc=13)


class Hubert(UnitModel):
    """Masked prediction of MFCC units from the waveform at 50 Hz."""

    frame_hz = 50.0
    feature_spec = None

    @takes_options_of(encoder_config)
    def __init__(
        self,
        *,
        units: int = 100,
        projection: int = 256,
        temperature: float = 0.1,
        mask_prob: float = 0.8,
        mask_span: int = 10,
        unmasked_weight: float = 0.0,
        target_seconds: float = 1200.0,
        iterations: int = 1,
        relabel_at: Sequence[float] = (250 / 650,),
        relabel_units: int = 500,
        relabel_layer: int = 0,
        relabel_seconds: float = 1200.0,
        reinitialise: bool = True,
        **encoder: Any,
    ) -> None:
        super().__init__()
        config = encoder_config(HubertConfig, **encoder)
        self.model = HubertModel(config)
        self.project = nn.Linear(config.hidden_size, projection)
        self.unit_embeddings = nn.Parameter(torch.empty(units, projection).uniform_())
        self.temperature, self.mask_prob, self.mask_span = temperature, mask_prob, mask_span
        self.unmasked_weight = unmasked_weight
        self.target_seconds = target_seconds
        self.relabelling = Relabelling.of_stages(
            "iterations",
            iterations,
            relabel_at,
            units=relabel_units,
            layer=relabel_layer,
            seconds=relabel_seconds,
            restart=reinitialise,
        )
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
        progress: Progress,
    ) -> None:
        """Fit k-means to MFCCs with first and second differences; keep every second 10 ms label."""

        cepstra = data.all_features(MFCC_13)

        def frames_of(index: int) -> np.ndarray:
            return with_differences(cepstra(index).astype(np.float32))[::2]

        self.labels, self.target_flops = cluster(
            frames_of,
            data.num_samples,
            k=len(self.unit_embeddings),
            hop_samples=HOP_SAMPLES,
            seed=seed,
            fit_seconds=self.target_seconds,
            progress=progress,
        )

    def frames(self, num_samples: int) -> int:
        """Return how many frames the convolutional front end gives for so many samples."""
        return int(self.model._get_feat_extract_output_lengths(num_samples))

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over unit embeddings at masked frames, and at visible ones with ``unmasked_weight``."""
        if batch.waveform is None or self.labels is None:
            raise ValueError("Hubert needs the waveform and targets")
        frames = self.frames(batch.num_samples)
        mask = span_mask(batch.size, frames, prob=self.mask_prob, span=self.mask_span, generator=info.generator).to(
            batch.waveform.device
        )
        hidden = self.model(normalise(batch.waveform), mask_time_indices=mask).last_hidden_state
        targets = self.labels.crop(batch.utterances, batch.starts, frames).to(mask.device)
        loss, accuracy = masked_cross_entropy(self._logits, hidden, targets, mask, unmasked_weight=self.unmasked_weight)
        return loss, {"accuracy": accuracy}

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return cosine similarities of projected frames (N, D) to the stage's unit embeddings, (N, K)."""
        projected = F.normalize(self.project(hidden).float(), dim=-1)
        embeddings = self.later_embeddings[self.stage - 1] if self.stage else self.unit_embeddings
        return projected @ F.normalize(embeddings.float(), dim=-1).T / self.temperature

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return the projected front end's output and each layer's output."""
        if batch.waveform is None:
            raise ValueError("Hubert needs the waveform")
        return list(self.model(normalise(batch.waveform), output_hidden_states=True).hidden_states)

    def target_features(self, batch: Batch) -> Tensor:
        """Return the output of the layer that is clustered; later ones do not run."""
        if batch.waveform is None:
            raise ValueError("Hubert needs the waveform")
        wave = normalise(batch.waveform)
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
