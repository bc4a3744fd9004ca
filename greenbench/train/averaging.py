"""The moving average of the weights, which is evaluated in their place (Polyak averaging)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

WARMUP = 10.0
"""The average forgets its beginning: after n updates no decay is above (1 + n) / (10 + n)."""


class WeightAverage:
    """``average = decay * average + (1 - decay) * weights`` after each update, over the trained parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.average = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number ``step`` (from 0)."""
        decay = min(self.decay, (1.0 + step) / (WARMUP + step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1.0 - decay)

    @torch.no_grad()
    def adopt(self) -> None:
        """Put the average in the weights' place."""
        torch._foreach_copy_([p.detach() for p in self.parameters], self.average)

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """The average for a checkpoint."""
        return {str(number): value for number, value in enumerate(self.average)}

    @torch.no_grad()
    def load_state_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_tensors` returned."""
        for number, kept in enumerate(self.average):
            kept.copy_(tensors[str(number)])
