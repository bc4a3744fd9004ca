"""What a training step takes in memory, by the crops in its batch, and how many crops a memory has room for.

Held against cards: at size base, 32 crops of 10 s in float32, the count is 3.50, 14.6 and 22.7 GB for eco, MelHuBERT
and HuBERT; an H100 took 3.52, 12.1 and 22.0 GB (``reports/gpu-h100``). In bfloat16 it took 2.27, 8.5 and 15.4 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from greenbench.cost.stored import stored_cost

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec

LEAST_SHARE = {"float32": 0.8, "bfloat16": 0.5, "float16": 0.5}
"""What a step takes at the least of the counted activations, gradients and temporaries.

Measured, it was 0.81 to 1.0 of them in float32 and 0.55 to 0.66 in bfloat16 (the figures above).
"""
KEPT_FREE = 0.1
"""Of a memory, for what no count knows: the driver's context, libraries, blocks too small to be used."""
_COUNTED = (2, 6)
"""Crops: at one, what the batch does not change hides what it does."""


@dataclass(frozen=True)
class StepMemory:
    """A straight line through two counts, in bytes: ``state`` (weights, optimizer), one crop more, and what is left."""

    state_bytes: int
    rest_bytes: float
    crop_bytes: float

    def counted_bytes(self, crops: int) -> float:
        """The counted peak of a step on ``crops`` crops in float32."""
        return self.state_bytes + self.rest_bytes + self.crop_bytes * crops

    def least_bytes(self, crops: int, dtype: str) -> float:
        """What the step takes at the least in this number format."""
        return self.state_bytes + LEAST_SHARE[dtype] * (self.counted_bytes(crops) - self.state_bytes)

    def crops_within(self, room_bytes: float, *, scale: float = 1.0) -> int:
        """The most crops whose counted peak, times ``scale``, leaves a part of ``room_bytes`` free; 0 is none."""
        room = (1.0 - KEPT_FREE) * room_bytes / scale
        return max(0, int((room - self.state_bytes - self.rest_bytes) / self.crop_bytes))


def step_memory(spec: ModelSpec, *, crop_seconds: float, layer_drop: float = 0.0) -> StepMemory | None:
    """Count a contestant's step on a few crops and on more; None for a model that does not train.

    Raises:
        ConfigError: options that the model does not take, or code that can be counted nowhere.
    """
    few, many = (
        stored_cost(spec, seconds=crop_seconds, batch=crops, fvcore=False, layer_drop=layer_drop) for crops in _COUNTED
    )
    least, most, state = few.peak_train_memory_bytes, many.peak_train_memory_bytes, few.train_state_bytes
    if least is None or most is None or state is None:
        return None
    crop_bytes = max(1.0, (most - least) / (_COUNTED[1] - _COUNTED[0]))
    return StepMemory(state, least - _COUNTED[0] * crop_bytes - state, crop_bytes)
