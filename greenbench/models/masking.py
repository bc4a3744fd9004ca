"""Span masks over frames, drawn from a given generator so that a resumed run draws the same ones; the loss on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Masking:
    """What is hidden: spans of ``span`` frames that cover about ``probability`` of a crop (see :func:`span_mask`)."""

    probability: float = 0.65
    span: int = 10

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw a boolean mask (B, T) on the CPU."""
        return span_mask(batch, frames, prob=self.probability, span=self.span, generator=generator)


@dataclass(frozen=True)
class WeightedMasking(Masking):
    """Masking for a loss that may count visible frames too: each as ``unmasked_weight`` of a masked one."""

    unmasked_weight: float = 0.0


def span_mask(batch: int, frames: int, *, prob: float, span: int, generator: torch.Generator) -> Tensor:
    """A boolean mask (B, T) of spans of ``span`` frames whose starts are drawn without replacement.

    ``prob * frames / span`` spans are drawn per row (at least one), as in wav2vec 2.0 (arXiv 2006.11477, section 3.1);
    spans may overlap, so the share of masked frames is at most ``prob``. Drawn on the CPU: the same on every device.
    """
    span = max(1, min(span, frames))
    positions = frames - span + 1
    count = max(1, min(positions, round(prob * frames / span)))
    starts = torch.rand(batch, positions, generator=generator).argsort(dim=1)[:, :count]
    indices = (starts.unsqueeze(-1) + torch.arange(span)).reshape(batch, -1)
    return torch.zeros(batch, frames, dtype=torch.bool).scatter_(1, indices, value=True)


def masked_cross_entropy(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    unmasked_weight: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The cross-entropy of units and the accuracy on masked frames.

    Args:
        logits_of: turns hidden states (N, D) into logits (N, K).
        hidden: (B, T, D).
        targets: (B, T) int64.
        mask: (B, T), true where the input was hidden.
        unmasked_weight: what a visible frame counts against a masked one (``pred_nomask_weight`` in fairseq). At 0,
            as published, visible frames cost nothing. In a few hundred updates masked frames alone teach little.
    """
    if not unmasked_weight:
        logits, wanted = logits_of(hidden[mask]).float(), targets[mask]
        return F.cross_entropy(logits, wanted), (logits.argmax(-1) == wanted).float().mean().detach()
    logits, wanted, masked = logits_of(hidden.flatten(0, 1)).float(), targets.flatten(), mask.flatten()
    weight = torch.where(masked, 1.0, unmasked_weight)
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum() / weight.sum()
    hit = (logits.argmax(-1) == wanted).float() * masked
    return loss, (hit.sum() / masked.sum()).detach()
