"""Draws as they were made with a generator, and the hash in plain integers: slow, obvious second implementations."""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 2**32


def mixed(word: int) -> int:
    """lowbias32: shift, multiply, shift, multiply, shift, modulo 2^32."""
    word ^= word >> 16
    word = word * 0x7FEB352D % WORD
    word ^= word >> 15
    word = word * 0x846CA68B % WORD
    return word ^ (word >> 16)


def word(seed: int, step: int, purpose: int, row: int, place: int) -> int:
    """One word of :class:`greenbench.models.draws.Draws`."""
    key = mixed(step ^ mixed(mixed(seed % WORD) ^ purpose))
    of_row = mixed((mixed(row ^ key) + key) % WORD)
    return mixed((of_row + place * 0x9E3779B9) % WORD)


def span_mask(batch: int, frames: int, *, prob: float, span: int, generator: torch.Generator) -> Tensor:
    """Spans whose starts are the first of a random order of all positions, (B, T)."""
    span = max(1, min(span, frames))
    positions = frames - span + 1
    count = max(1, min(positions, round(prob * frames / span)))
    mask = torch.zeros(batch, frames, dtype=torch.bool)
    for row in mask:
        for start in torch.randperm(positions, generator=generator)[:count].tolist():
            row[start : start + span] = True
    return mask


def negatives(valid: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Other valid positions of the row, one at a time, (B, M, K)."""
    drawn = torch.zeros(*valid.shape, count, dtype=torch.long)
    for row, known in enumerate(valid.sum(dim=1).tolist()):
        for place in range(valid.shape[1]):
            others = [other for other in range(known) if other != place] or [1]
            for k in range(count):
                drawn[row, place, k] = others[int(torch.randint(len(others), (), generator=generator))]
    return drawn


def warp_bands(features: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Read each band where stretch and shift put it, band by band, (B, T, F)."""
    batch, _, bands = features.shape
    stretch = 1 + strength * (2 * torch.rand(batch, 1, generator=generator) - 1)
    shift = strength * bands / 4 * (2 * torch.rand(batch, 1, generator=generator) - 1)
    position = (torch.arange(bands)[None] * stretch + shift).clamp(0, bands - 1.001)
    warped = torch.empty_like(features)
    for row in range(batch):
        for band in range(bands):
            low = int(position[row, band])
            share = position[row, band] - low
            warped[row, :, band] = features[row, :, low] * (1 - share) + features[row, :, low + 1] * share
    return warped
