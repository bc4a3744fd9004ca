"""Contrastive losses over masked frames: positions, distractors of the same crop, and InfoNCE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.models.waveform import full_precision


@dataclass(frozen=True)
class Contrast:
    """The true frame among ``negatives`` others by cosine of ``projection`` channels, divided by ``temperature``."""

    projection: int = 256
    negatives: int = 100
    temperature: float = 0.1


def masked_positions(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The masked frames of each row side by side: index (B, M) int64 and valid (B, M) bool, on the CPU.

    M is the largest number of masked frames of a row; shorter rows are filled with frame 0, not valid.
    """
    counts = mask.sum(dim=1)
    valid = torch.arange(int(counts.max())) < counts.unsqueeze(1)
    index = torch.zeros(valid.shape, dtype=torch.long)
    index[valid] = mask.nonzero()[:, 1]
    return index, valid


def pick(frames: Tensor, index: Tensor) -> Tensor:
    """Gather frames (B, T, D) at index (B, M) -> (B, M, D)."""
    return frames.gather(1, index.to(frames.device).unsqueeze(-1).expand(-1, -1, frames.shape[-1]))


def sample_negatives(valid: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw for each position ``count`` other valid positions of its row, (B, M) -> (B, M, K) int64, uniformly.

    Rows with a single valid position have none to draw from; they get that position itself.
    """
    rows, width = valid.shape
    others = (valid.sum(dim=1) - 1).clamp(min=1).view(rows, 1, 1)
    drawn = (torch.rand(rows, width, count, generator=generator) * others).long()
    return (drawn + (drawn >= torch.arange(width).view(1, width, 1))).clamp(max=others)


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
        negatives = negatives.to(similarity.device)
        with torch.no_grad():
            same = (goal @ goal.transpose(1, 2)).gather(2, negatives) > 1 - 1e-5
        true = similarity.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        false = similarity.gather(2, negatives).masked_fill(same, float("-inf"))
        logits = torch.cat([true, false], dim=-1) / temperature
        losses = -F.log_softmax(logits, dim=-1)[..., 0]
        weight = valid.to(losses)
        won = (logits.argmax(-1) == 0).to(weight)
        return (losses * weight).sum() / weight.sum(), ((won * weight).sum() / weight.sum()).detach()
