"""What all predictors of k-means units share: labels that a resumed trial need not pay for again, and later stages.

A later stage predicts units of the model's own hidden states, found at a fraction of the budget, with a head of its
own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from greenbench.models.base import PretrainData, Upstream
from greenbench.models.kmeans import UnitLabels, cluster
from greenbench.models.relabel import Relabelling, relabel
from greenbench.progress import Progress

HOP_SAMPLES = 320


@dataclass(frozen=True)
class UnitTargets:
    """``units`` clusters, found by k-means on ``fit_seconds`` of random utterances; all speech is labelled."""

    units: int = 100
    fit_seconds: float = 1200.0


class UnitModel(Upstream):
    """An upstream whose ``make_targets`` sets ``labels`` and ``target_flops``.

    ``stage`` counts how often targets were made anew; a subclass picks its head by it. A subclass says what is
    clustered first by ``frames_to_cluster``. ``depth`` is the number of its encoder layers.
    """

    def __init__(self, targets: UnitTargets, relabelling: Relabelling, *, depth: int) -> None:
        super().__init__()
        if not 0 <= relabelling.layer <= depth:
            raise ValueError(
                f"relabelling.layer = {relabelling.layer} must lie between 1 and {depth}, or be 0 for the middle one"
            )
        self.targets, self.relabelling = targets, relabelling
        self.labels: UnitLabels | None = None
        self.target_flops = 0.0
        self.relabel_at = self.stage_fractions = relabelling.at
        self.restarts = relabelling.starts_afresh
        self.relabelled_layer = relabelling.layer or max(1, depth // 2)
        self.later_units = relabelling.units or targets.units

    def frames_to_cluster(self, data: PretrainData) -> Callable[[int], np.ndarray]:
        """Give the reader of one utterance's frames as k-means takes them, (T, D) float32 at 50 Hz."""
        raise NotImplementedError(f"{type(self).__name__} must implement frames_to_cluster")

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - scikit-learn clusters on the CPU
        progress: Progress,
    ) -> None:
        """Cluster the frames, as they are read, and keep the label of each."""
        self.fit_reading(data, seed=seed)
        self.labels, self.target_flops = cluster(
            self.frames_to_cluster(data),
            data.num_samples,
            k=self.targets.units,
            hop_samples=HOP_SAMPLES,
            seed=seed,
            fit_seconds=self.targets.fit_seconds,
            progress=progress,
        )

    def make_stand_in_targets(self, data: PretrainData) -> None:  # noqa: ARG002 - labels need no audio
        """Label all frames alike where there are no labels yet."""
        if self.labels is None:
            self.labels = UnitLabels(np.zeros(8), np.array([0, 8]), HOP_SAMPLES)

    def place_targets(self, device: torch.device) -> None:
        """Keep the labels where the model is trained."""
        if self.labels is not None:
            self.labels.place(device)

    def remake_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,
        progress: Progress,
        flops_of_pass: Callable[[int, int], float],
    ) -> None:
        """Put units of the own hidden states in the labels' place and go to the next stage's head."""
        # Another draw of utterances and centroids than the stage before.
        self.labels, flops = relabel(
            self,
            data,
            k=self.later_units,
            fit_seconds=self.relabelling.fit_seconds,
            hop_samples=HOP_SAMPLES,
            seed=seed + self.stage + 1,
            device=device,
            progress=progress,
            flops_of_pass=flops_of_pass,
        )
        self.target_flops += flops
        self.stage += 1

    def targets_state(self) -> dict[str, np.ndarray]:
        """Give the unit labels and the stage they belong to."""
        return {**self.labels.state(), "stage": np.array(self.stage)} if self.labels else {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the unit labels and the stage."""
        self.labels = UnitLabels.from_state(state)
        self.stage = int(state["stage"].item()) if "stage" in state else 0

    def extra_flops(self) -> float:
        """Sum the FLOPs of finding and assigning the units."""
        return self.target_flops

    def export_config(self) -> dict[str, Any]:
        """Say when and how targets are made anew."""
        if not self.relabel_at:
            return super().export_config()
        return {
            **super().export_config(),
            "relabel_at": list(self.relabel_at),
            "relabel_units": self.later_units,
            "relabel_layer": self.relabelled_layer,
            "restarts": self.restarts,
        }
