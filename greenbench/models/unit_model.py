"""What all predictors of k-means units share: labels that a resumed trial need not pay for again, and later stages.

A later stage predicts units of the model's own hidden states, found at a fraction of the budget, with a head of its
own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from greenbench.models.base import PretrainData, Upstream
from greenbench.models.kmeans import UnitLabels
from greenbench.models.relabel import Relabelling, relabel
from greenbench.progress import Progress

HOP_SAMPLES = 320


class UnitModel(Upstream):
    """An upstream whose ``make_targets`` sets ``labels`` and ``target_flops``.

    ``stage`` counts how often targets were made anew. A subclass that does so sets ``relabelling`` and picks its head
    by ``stage``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.labels: UnitLabels | None = None
        self.target_flops = 0.0
        self.stage = 0
        self.relabelling: Relabelling | None = None

    @property
    def relabel_at(self) -> tuple[float, ...]:  # type: ignore[override]
        """Return the fractions of the budget at which later stages begin."""
        return self.relabelling.at if self.relabelling else ()

    @property
    def restarts(self) -> bool:  # type: ignore[override]
        """Return whether later stages begin with fresh weights."""
        return bool(self.relabel_at and self.relabelling and self.relabelling.restart)

    @property
    def stage_fractions(self) -> tuple[float, ...]:
        """Return where stages begin, for those that count costs: heads may differ in size."""
        return self.relabel_at

    def relabelled_layer(self) -> int:
        """Return the number of the encoder layer whose output is clustered, 1 for the first."""
        depth = len(self.trunk_layers())
        layer = self.relabelling.layer if self.relabelling else 0
        if not 0 <= layer <= depth:
            raise ValueError(f"relabel_layer = {layer} must lie between 1 and {depth}, or be 0 for the middle one")
        return layer or max(1, depth // 2)

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
        if self.relabelling is None:
            raise ValueError(f"{type(self).__name__} was built without later stages")
        # Another draw of utterances and centroids than the stage before.
        self.labels, flops = relabel(
            self,
            data,
            k=self.relabelling.units,
            fit_seconds=self.relabelling.seconds,
            hop_samples=HOP_SAMPLES,
            seed=seed + self.stage + 1,
            device=device,
            progress=progress,
            flops_of_pass=flops_of_pass,
        )
        self.target_flops += flops
        self.stage += 1

    def targets_state(self) -> dict[str, np.ndarray]:
        """Return the unit labels and the stage they belong to."""
        return {**self.labels.state(), "stage": np.array(self.stage)} if self.labels else {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the unit labels and the stage."""
        self.labels = UnitLabels.from_state(state)
        self.stage = int(state["stage"].item()) if "stage" in state else 0

    def extra_flops(self) -> float:
        """Return the FLOPs of finding and assigning the units."""
        return self.target_flops

    def export_config(self) -> dict[str, Any]:
        """Return when and how targets are made anew."""
        if not self.relabel_at or self.relabelling is None:
            return super().export_config()
        return {
            **super().export_config(),
            "relabel_at": list(self.relabel_at),
            "relabel_units": self.relabelling.units,
            "relabel_layer": self.relabelled_layer(),
            "restarts": self.restarts,
        }
