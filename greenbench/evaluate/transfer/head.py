"""The head that every strategy trains on top of the (adapted) hidden states."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransferHead(nn.Module):
    """The same light head for every strategy: standardised layers, softmax-weighted sum, (pooling,) linear.

    Mean and deviation of each layer's dimensions are those of the untouched model. ``stack`` frames side by side make
    one step, and the linear map sees ``window`` steps: text needs fewer steps and more context than phones.
    """

    def __init__(
        self, statistics: list[tuple[Tensor, Tensor]], classes: int, *, pooled: bool, stack: int = 1, window: int = 1
    ) -> None:
        super().__init__()
        self.means = [mean for mean, _ in statistics]
        self.scales = [scale for _, scale in statistics]
        self.width = max(len(mean) for mean in self.means)
        self.layer_logits = nn.Parameter(torch.zeros(len(statistics)))
        self.stack = stack
        inputs = self.width * (2 if pooled else stack)
        self.classify: nn.Linear | nn.Conv1d = (
            nn.Conv1d(inputs, classes, window, padding=window // 2) if window > 1 else nn.Linear(inputs, classes)
        )
        nn.init.zeros_(self.classify.weight)
        assert self.classify.bias is not None
        nn.init.zeros_(self.classify.bias)
        self.pooled = pooled

    def forward(self, states: list[Tensor]) -> Tensor:
        """Logits (B, T / stack, C), or (B, C) where one label belongs to a clip."""
        weights = self.layer_logits.softmax(0)
        total: Tensor | float = 0.0
        for weight, state, mean, scale in zip(weights, states, self.means, self.scales, strict=True):
            # In this order the backward pass needs the states themselves and no standardised copy of them.
            gain = weight * scale
            total = total + F.pad(state * gain - mean * gain, (0, self.width - state.shape[-1]))
        assert isinstance(total, Tensor)
        if self.pooled:
            # The deviation's gradient is infinite at 0, which a silent clip reaches.
            total = torch.cat([total.mean(1), (total.var(1, correction=0) + 1e-5).sqrt()], dim=-1)
        if self.stack > 1:
            steps = total.shape[1] // self.stack
            total = total[:, : steps * self.stack].reshape(len(total), steps, -1)
        if isinstance(self.classify, nn.Conv1d):
            return self.classify(total.transpose(1, 2)).transpose(1, 2)
        return self.classify(total)
