"""The topline: eco's network trained on the labels, so that a reader sees what is left to gain.

Not self-supervised: every labelled utterance of the training split teaches its phones, frame by frame, for as many
joules as the others learn without labels. Its frozen layers are then probed like theirs.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.errors import DataError
from greenbench.models.augment_mel import warp_bands
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.eco import Eco
from greenbench.models.kmeans import UnitLabels
from greenbench.models.unit_model import HOP_SAMPLES, UnitModel
from greenbench.progress import Progress

NO_LABEL = -1


@runtime_checkable
class LabelledData(Protocol):
    """Target data with phones, which no self-supervised model may ask for."""

    def phone_labels(self, index: int, frames: int) -> np.ndarray:
        """Phone of each 20 ms frame of an utterance, (frames,) int64, -1 where it has no label."""


class Topline(Eco):
    """Frame-wise phone classification from distorted log-mel frames, nothing hidden."""

    learns_from = "train"

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - fitted on the CPU
        progress: Progress,  # noqa: ARG002 - it takes a second
    ) -> None:
        """Fit the reading and take the labels; raises :class:`DataError` where there are none."""
        if not isinstance(data, LabelledData):
            raise DataError("the topline learns from phone labels; this data offers none")
        self.fit_reading(data, seed=seed)
        parts = [data.phone_labels(i, int(n) // HOP_SAMPLES) for i, n in enumerate(data.num_samples)]
        phones = max((int(part.max(initial=NO_LABEL)) for part in parts), default=NO_LABEL) + 1
        if not phones:
            raise DataError("the topline learns from phone labels; no utterance of the training split has phones")
        if phones > self.predict.out_features:
            raise DataError(f"units = {self.predict.out_features} are fewer than the {phones} phones; raise units")
        self.labels = UnitLabels.build(parts, HOP_SAMPLES)

    def make_stand_in_targets(self, data: PretrainData) -> None:
        """Label all frames alike where there are no labels yet."""
        UnitModel.make_stand_in_targets(self, data)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the phones of labelled frames; 0 for a batch without any."""
        read = self.read(self.features_of(batch))
        if self.labels is None:
            raise ValueError("Topline needs labels")
        distorted = warp_bands(read, self.inputs.warp, info.draws) if self.inputs.warp else read
        logits = self.predict(self.encode(self.prepare(distorted))[-1]).float().flatten(0, 1)
        wanted = self.units_of(batch, read).flatten()
        known = wanted != NO_LABEL
        losses = F.cross_entropy(logits, wanted, ignore_index=NO_LABEL, reduction="sum")
        hit = (logits.argmax(-1) == wanted) & known
        count = known.sum().clamp(min=1)
        return losses / count, {"accuracy": (hit.sum() / count).detach()}
