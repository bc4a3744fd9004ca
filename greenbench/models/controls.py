"""Controls: representations that nobody learned, for every table to stand on."""

from __future__ import annotations

from torch import Tensor

from greenbench.features.spec import LOGMEL_80, FeatureSpec
from greenbench.models.base import Batch, Upstream
from greenbench.models.frames import stack_frames

STACK = 2


class LogMel(Upstream):
    """Plain log-mel frames: two neighbouring 10 ms frames of 80 bands side by side at 50 Hz, (B, T, 160).

    It has no parameters and is never trained. A learned representation that a linear head reads no better than this
    one has not paid for itself.
    """

    frame_hz = 50.0
    feature_spec: FeatureSpec | None = LOGMEL_80

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """The one layer there is."""
        return [stack_frames(self.features_of(batch), STACK)]
