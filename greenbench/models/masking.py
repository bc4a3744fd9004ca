"""Span masks over frames, drawn from a given generator so that a resumed run draws the same ones."""

from __future__ import annotations

import torch
from torch import Tensor


def span_mask(batch: int, frames: int, *, prob: float, span: int, generator: torch.Generator) -> Tensor:
    """Return a boolean mask (B, T) of spans of ``span`` frames whose starts are drawn without replacement.

    ``prob * frames / span`` spans are drawn per row (at least one), as in wav2vec 2.0 (arXiv 2006.11477, section 3.1);
    spans may overlap, so the share of masked frames is at most ``prob``. Drawn on the CPU: the same on every device.
    """
    span = max(1, min(span, frames))
    positions = frames - span + 1
    count = max(1, min(positions, round(prob * frames / span)))
    starts = torch.rand(batch, positions, generator=generator).argsort(dim=1)[:, :count]
    indices = (starts.unsqueeze(-1) + torch.arange(span)).reshape(batch, -1)
    return torch.zeros(batch, frames, dtype=torch.bool).scatter_(1, indices, value=True)
