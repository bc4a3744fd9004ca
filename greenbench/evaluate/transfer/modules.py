"""Small trainable parts that are put beside or into a frozen model: bottleneck adapters and READ's side network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Houlsby et al. 2019: norm, down, non-linearity, up, added to the input; starts as the identity."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D)."""
        return hidden + self.up(torch.nn.functional.gelu(self.down(self.norm(hidden))))


class SideNetwork(nn.Module):
    """READ (Wang et al. 2023, arXiv 2305.15348): a recurrent network over the depth of a frozen backbone.

    At every frame a GRU cell walks through the layers' hidden states from the first to the last; its final state,
    projected back, corrects the last layer. The backbone runs without gradients, so that none of its activations
    are kept.
    """

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()
        self.shrink = nn.ModuleDict({str(width): nn.Linear(width, hidden) for width in sorted(set(widths))})
        # After shrinking, so that no normalised copy of a wide hidden state has to be kept for the backward pass.
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in widths)
        self.cell = nn.GRUCell(hidden, hidden)
        self.up = nn.Linear(hidden, widths[-1])
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: list[Tensor]) -> Tensor:
        """The corrected last layer, (B, T, D)."""
        batch, frames, _ = states[-1].shape
        memory = states[-1].new_zeros(batch * frames, self.cell.hidden_size)
        for norm, state in zip(self.norms, states, strict=True):
            reduced = norm(self.shrink[str(state.shape[-1])](state))
            memory = self.cell(reduced.reshape(batch * frames, -1), memory)
        return states[-1] + self.up(memory).view(batch, frames, -1)
