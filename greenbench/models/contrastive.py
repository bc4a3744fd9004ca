"""Contrastive losses over masked frames: positions, distractors of the same crop, and InfoNCE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.models.draws import Draws, Purpose
from greenbench.models.waveform import full_precision


@dataclass(frozen=True)
class Contrast:
    """The true frame among ``negatives`` others by cosine of ``projection`` channels, divided by ``temperature``."""

    projection: int = 256
    negatives: int = 100
    temperature: float = 0.1


def masked_positions(mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The masked frames of each row of (B, T) side by side: index (B, M) int64 and valid (B, M) bool.

    M = ``most`` is at least the largest number of masked frames of a row, and the same in every step, so that no device
    is asked how many there are. Shorter rows are filled with frame 0, not valid.
    """
    frames = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    # What is visible goes to a column of its own, which is cut off.
    column = torch.where(mask, mask.cumsum(dim=1) - 1, most)
    index = torch.zeros(mask.shape[0], most + 1, dtype=torch.long, device=mask.device).scatter(1, column, frames)
    valid = torch.arange(most, device=mask.device) < mask.sum(dim=1, keepdim=True)
    return index[:, :most] * valid, valid


def pick(frames: Tensor, index: Tensor) -> Tensor:
    """Gather frames (B, T, D) at index (B, M) -> (B, M, D)."""
    return frames.gather(1, index.unsqueeze(-1).expand(-1, -1, frames.shape[-1]))


def sample_negatives(valid: Tensor, count: int, draws: Draws) -> Tensor:
    """Draw for each position ``count`` other valid positions of its row, (B, M) -> (B, M, K) int64, uniformly.

    Rows with a single valid position have none to draw from; they get that position itself.
    """
    rows, width = valid.shape
    others = (valid.sum(dim=1, keepdim=True) - 1).clamp(min=1)
    drawn = draws.below(Purpose.NEGATIVES, rows, width * count, others).view(rows, width, count)
    passed = drawn >= torch.arange(width, device=valid.device).view(1, width, 1)
    return (drawn + passed).clamp(max=others.unsqueeze(2))


def contrastive_loss(
    predicted: Tensor, targets: Tensor, negatives: Tensor, valid: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """The mean InfoNCE loss over valid positions and the share of them won by the true target.

    ``predicted`` and ``targets`` (B, M, D); similarity is the cosine. A distractor equal to the target (the same
    codeword) is left out, as in wav2vec 2.0 (arXiv 2006.11477).
    """
    with full_precision(predicted):
        goal = F.normalize(targets.float(), dim=-1)
        similarity = F.normalize(predicted.float(), dim=-1) @ goal.transpose(1, 2)
        with torch.no_grad():
            same = (goal @ goal.transpose(1, 2)).gather(2, negatives) > 1 - 1e-5
        true = similarity.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        false = similarity.gather(2, negatives).masked_fill(same, float("-inf"))
        logits = torch.cat([true, false], dim=-1) / temperature
        losses = -F.log_softmax(logits, dim=-1)[..., 0]
        weight = valid.to(losses)
        won = (logits.argmax(-1) == 0).to(weight)
        return (losses * weight).sum() / weight.sum(), ((won * weight).sum() / weight.sum()).detach()
