"""What all predictors of k-means units share: the labels, kept so that a resumed trial need not pay for them again."""

from __future__ import annotations

import numpy as np

from greenbench.models.base import Upstream
from greenbench.models.kmeans import UnitLabels


class UnitModel(Upstream):
    """An upstream whose ``make_targets`` sets ``labels`` and ``target_flops``."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: UnitLabels | None = None
        self.target_flops = 0.0

    def targets_state(self) -> dict[str, np.ndarray]:
        """Return the unit labels."""
        return self.labels.state() if self.labels else {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the unit labels."""
        self.labels = UnitLabels.from_state(state)

    def extra_flops(self) -> float:
        """Return the FLOPs of finding and assigning the units."""
        return self.target_flops
