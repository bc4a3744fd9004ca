"""HuBERT with the encoder of ``transformers``, trained as published (arXiv 2106.07447).

Targets are k-means units of 39-dimensional MFCCs; the loss is the cross-entropy of cosine similarities between
projected frames and unit embeddings at temperature 0.1, on masked frames only. With ``relabelling.at`` a second model,
fresh, predicts 500 units of the first one's middle layer; the first gets 250k of the 650k updates as published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from greenbench.features.spec import FeatureSpec
from greenbench.models.balance import check_alpha
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.capture import layer_outputs, only_layers
from greenbench.models.encoders import WaveformShape
from greenbench.models.masking import WeightedMasking, masked_cross_entropy
from greenbench.models.relabel import FreshRelabelling
from greenbench.models.transformers_macs import front_end_frames, waveform_model_macs
from greenbench.models.unit_model import UnitModel, UnitTargets
from greenbench.models.waveform import encode_masked, normalise

MFCC_13 = FeatureSpec(kind="mfcc", n_mels=23, n_mfcc=13)


@dataclass(frozen=True)
class CosineHead:
    """Units are told apart by the cosine of ``projection`` channels, divided by ``temperature``."""

    projection: int = 256
    temperature: float = 0.1


ENCODER = WaveformShape()
HEAD = CosineHead()
TARGETS = UnitTargets(units=100)
MASKING = WeightedMasking(probability=0.8, span=10)
RELABELLING = FreshRelabelling(units=500)


class Hubert(UnitModel):
    """Masked prediction of MFCC units from the waveform at 50 Hz.

    With ``language_alpha`` on balanced languages, as mHuBERT-147 (arXiv 2406.06371).
    """

    frame_hz = 50.0
    feature_spec = None
    one_graph = True

    def __init__(
        self,
        *,
        encoder: WaveformShape = ENCODER,
        head: CosineHead = HEAD,
        targets: UnitTargets = TARGETS,
        masking: WeightedMasking = MASKING,
        relabelling: FreshRelabelling = RELABELLING,
        language_alpha: float | None = None,
    ) -> None:
        super().__init__(targets, relabelling, depth=encoder.layers)
        self.language_alpha = check_alpha(language_alpha)
        self.masking, self.temperature = masking, head.temperature
        self.model = HubertModel(encoder.config(HubertConfig))
        self.project = nn.Linear(encoder.width, head.projection)
        self.unit_embeddings = nn.Parameter(torch.empty(targets.units, head.projection).uniform_())
        self.later_embeddings = nn.ParameterList(
            nn.Parameter(torch.empty(self.later_units, head.projection).uniform_()) for _ in self.relabel_at
        )

    def frames_to_cluster(self, data: PretrainData) -> Callable[[int], np.ndarray]:
        """Give every second 10 ms frame of MFCCs with first and second differences."""
        cepstra = data.all_features(MFCC_13)
        return lambda index: with_differences(cepstra(index).astype(np.float32))[::2]

    def frames(self, num_samples: int) -> int:
        """Count the frames that the convolutional front end makes of so many samples."""
        return front_end_frames(self.model.config, num_samples)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over unit embeddings at masked frames, and at visible ones with ``unmasked_weight``."""
        waveform = self.waveform_of(batch)
        if self.labels is None:
            raise ValueError(f"{type(self).__name__} needs targets")
        frames = self.frames(batch.num_samples)
        mask = self.masking.draw(batch.size, frames, info.draws)
        hidden, _ = encode_masked(self.model, normalise(waveform), mask)
        targets = self.labels.crop(self.origins_of(batch), frames)
        loss, accuracy = masked_cross_entropy(
            self._logits, hidden, targets, mask, unmasked_weight=self.masking.unmasked_weight
        )
        return loss, {"accuracy": accuracy}

    def _logits(self, hidden: Tensor) -> Tensor:
        """Compute cosine similarities of projected frames (N, D) to the stage's unit embeddings, (N, K)."""
        projected = F.normalize(self.project(hidden).float(), dim=-1)
        embeddings = self.later_embeddings[self.stage - 1] if self.stage else self.unit_embeddings
        return projected @ F.normalize(embeddings.float(), dim=-1).T / self.temperature

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the projected front end's output and each layer's output."""
        return list(self.model(normalise(self.waveform_of(batch)), output_hidden_states=True).hidden_states)

    def target_features(self, batch: Batch) -> Tensor:
        """Compute the output of the layer that is clustered; later ones do not run."""
        wave = normalise(self.waveform_of(batch))
        with only_layers(self.model.encoder, self.relabelled_layer) as layers:
            return layer_outputs(layers, lambda: self.model(wave))[-1]

    def trunk_layers(self) -> list[nn.Module]:
        """List the encoder layers."""
        return list(self.model.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        return waveform_model_macs(num_samples, self.model.config)

    def export_config(self) -> dict[str, Any]:
        """Add the balance of languages to when targets are made anew."""
        balance = {} if self.language_alpha is None else {"language_alpha": self.language_alpha}
        return {**super().export_config(), **balance}


def with_differences(features: np.ndarray) -> np.ndarray:
    """Append first and second differences over time, (T, F) -> (T, 3 F); regression over two frames either side."""

    def slope(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
        return (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10

    first = slope(features)
    return np.concatenate([features, first, slope(first)], axis=1)
