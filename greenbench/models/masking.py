"""Span masks over frames, drawn by the step's number so that a resumed run draws the same ones; the loss on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.models.draws import Draws, Purpose, widen


@dataclass(frozen=True)
class Masking:
    """What is hidden: spans of ``span`` frames that cover about ``probability`` of a crop (see :func:`span_mask`)."""

    probability: float = 0.65
    span: int = 10

    def draw(self, batch: int, frames: int, draws: Draws) -> Tensor:
        """Draw a boolean mask (B, T) on the device of ``draws``."""
        return span_mask(batch, frames, prob=self.probability, span=self.span, draws=draws)

    def most(self, frames: int) -> int:
        """Count the frames of a crop that are masked if no spans overlap: the same in every step."""
        span, count = _spans(frames, self.probability, self.span)
        return min(frames, span * count)


@dataclass(frozen=True)
class WeightedMasking(Masking):
    """Masking for a loss that may count visible frames too: each as ``unmasked_weight`` of a masked one."""

    unmasked_weight: float = 0.0


def span_mask(batch: int, frames: int, *, prob: float, span: int, draws: Draws) -> Tensor:
    """A boolean mask (B, T) of spans of ``span`` frames whose starts are drawn without replacement.

    ``prob * frames / span`` spans are drawn per row (at least one), as in wav2vec 2.0 (arXiv 2006.11477, section 3.1);
    spans may overlap, so the share of masked frames is at most ``prob``. The same on every device.
    """
    span, count = _spans(frames, prob, span)
    return widen(draws.subset(Purpose.MASK, batch, frames - span + 1, count), span, frames)


def _spans(frames: int, prob: float, span: int) -> tuple[int, int]:
    """The length of a span that fits, and how many are drawn."""
    span = max(1, min(span, frames))
    return span, max(1, min(frames - span + 1, round(prob * frames / span)))


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
            as published, visible frames teach nothing. In a few hundred updates masked frames alone teach little.

    Frames are weighted, never picked: how many are masked differs from step to step, and a device that had to tell the
    host would stand still.
    """
    logits, wanted, masked = logits_of(hidden.flatten(0, 1)).float(), targets.flatten(), mask.flatten()
    weight = torch.where(masked, 1.0, unmasked_weight)
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum() / weight.sum()
    hit = (logits.argmax(-1) == wanted).float() * masked
    return loss, (hit.sum() / masked.sum()).detach()
