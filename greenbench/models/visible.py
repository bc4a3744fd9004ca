"""Encoding of the visible frames only: masked ones cost nothing in the encoder and come back before the prediction.

The lever of masked autoencoders (arXiv 2111.06377) and data2vec 2.0 (arXiv 2212.07525): positions are added while all
frames are there, the layers see the visible ones, and a small convolutional decoder fills in the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from greenbench.models.draws import Draws, Purpose
from greenbench.models.layers import build_trunk

DECODER_KERNEL = 15
"""Frames a decoder block sees: 300 ms at 50 Hz, longer than most masked stretches."""


def equal_counts(mask: Tensor, draws: Draws) -> Tensor:
    """Mask further frames at random until every row of (B, T) hides as many as the fullest; one at least is left."""
    frames = mask.shape[1]
    most = min(int(mask.sum(dim=1).max()), frames - 1)
    order = (mask + draws.uniform(Purpose.MORE_MASK, *mask.shape)).argsort(dim=1, descending=True)[:, :most]
    return torch.zeros_like(mask).scatter_(1, order, value=True)


def visible_indices(mask: Tensor) -> Tensor:
    """The visible frames of each row in order, (B, V), of a mask whose rows hide equally many."""
    visible = int((~mask[0]).sum())
    return mask.to(torch.int8).argsort(dim=1, stable=True)[:, :visible]


class VisibleOnly(nn.Module):
    """Runs an encoder's layers on visible frames and decodes all of them."""

    def __init__(self, width: int, *, heads: int, pattern: str = "cc") -> None:
        super().__init__()
        self.decoder = build_trunk(pattern, width, heads=heads, kernel=DECODER_KERNEL, expansion=2.0)

    def forward(self, frames: Tensor, mask: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, T, D); masked frames keep what ``frames`` says of their place. ``mask`` (B, T) lies on the CPU."""
        index = visible_indices(mask).to(frames.device).unsqueeze(-1).expand(-1, -1, frames.shape[2])
        visible = encode(frames.gather(1, index))
        whole = frames.to(visible.dtype).scatter(1, index, visible)
        for block in self.decoder:
            whole = block(whole)
        return whole
