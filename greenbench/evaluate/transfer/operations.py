"""FLOPs of an adaptation: forward and backward of a step on the graph that really runs, and of feature extraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from greenbench.cost.counter import counting
from greenbench.cost.model_cost import feature_flops_per_audio_s
from greenbench.cost.steps import PassFlops, through_three
from greenbench.models.base import Upstream
from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.evaluate.transfer.tasks import Crops


@dataclass(frozen=True)
class StepFlops:
    """FLOPs of one crop in a step by its length in samples; ``uncounted`` names operators without a formula."""

    per_crop: Callable[[int], float]
    uncounted: dict[str, int]

    @classmethod
    def count(cls, examples: Sequence[Crops], backward: Callable[[Crops], None]) -> StepFlops:
        """Count ``backward`` (forward, loss and backward) once for the example of each length.

        Of more than three lengths the shortest, middle and longest are counted, and a parabola runs through them:
        attention is quadratic in the length, all else linear. Gradients of what was counted must be dropped after.
        """
        by_length = {e.num_samples: e for e in sorted(examples, key=lambda e: e.num_samples)}
        lengths = list(by_length)
        counted = lengths if len(lengths) <= 3 else [lengths[0], lengths[len(lengths) // 2], lengths[-1]]
        found: dict[int, float] = {}
        uncounted: dict[str, int] = {}
        with torch.random.fork_rng(devices=[]):
            for length in counted:
                with counting(virtual=False) as counter:
                    backward(by_length[length])
                found[length] = counter.flops / len(by_length[length].positions)
                uncounted |= dict(counter.uncounted_calls)
        if len(lengths) <= 3:
            return cls(found.__getitem__, uncounted)
        return cls(through_three(counted, list(found.values())), uncounted)

    def __call__(self, crops: Crops) -> float:
        """The FLOPs of a step on these crops."""
        return len(crops.positions) * self.per_crop(crops.num_samples)


def extraction_flops(model: Upstream, lengths: Sequence[int]) -> float:
    """The FLOPs of one frozen pass over utterances of these lengths in samples, input features included."""
    passes = PassFlops(model, call=lambda subject, batch: subject.hidden_states(batch))
    audio_s = sum(lengths) / SAMPLE_RATE
    return sum(passes(1, n) for n in lengths) + feature_flops_per_audio_s(model) * audio_s
