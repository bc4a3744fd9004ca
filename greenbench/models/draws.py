"""Random numbers that are computed from where they are used, not taken from a generator: the same on every device.

A number is a hash of (seed, step, purpose, row, place). So a step needs no generator and no copy from the host, it is
one graph for a compiler, and a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
# lowbias32 of Chris Wellons' hash prospector. The second factor stands as the negative number equal to it modulo 2^32:
# products of 32-bit words then stay within int64, whose overflow is undefined where a compiler writes C++.
_FACTORS = (0x7FEB352D, 0x846CA68B - (1 << 32))
PART_ROWS = 1 << 20
"""Rows between the batches of one update: of accumulated gradients, or of several processes."""


class Purpose(IntEnum):
    """What is drawn. Draws of different purposes in one step do not depend on each other."""

    MASK = 1
    WARP = 2
    NEGATIVES = 3
    MIXTURE = 4
    STRIPES = 5
    SHIFT = 6
    MORE_MASK = 7


class Draws:
    """The draws of one step on one device. The step stands in a tensor, so that a compiled graph serves all steps."""

    def __init__(self, seed: int, *, step: int = 0, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.step, self.part = step, 0
        self.place = torch.tensor([step, 0], dtype=torch.int64).to(device)
        """(step, first row) on the device, int64."""

    def go_to(self, step: int, *, part: int = 0) -> Draws:
        """Stand at batch ``part`` of update ``step``; nothing is copied from the host."""
        self.step, self.part = step, part
        self.place[0].fill_(step)
        self.place[1].fill_(part * PART_ROWS)
        return self

    def on_host(self) -> Draws:
        """The same draws on the CPU, for code whose shapes depend on what was drawn."""
        return Draws(self.seed, step=self.step).go_to(self.step, part=self.part)

    def words(self, purpose: int, rows: int, places: int) -> Tensor:
        """Words (rows, places) int64, uniform in [0, 2^32); no two of a row are equal."""
        device = self.place.device
        key = _mix(self.place[0] ^ _mix_number(_mix_number(self.seed & _WORD) ^ int(purpose)))
        row = _mix(_mix((self.place[1] + torch.arange(rows, device=device)) ^ key) + key & _WORD)
        return _mix((row.unsqueeze(1) + torch.arange(places, device=device) * _GOLDEN) & _WORD)

    def uniform(self, purpose: int, rows: int, places: int) -> Tensor:
        """Numbers (rows, places) float32, uniform in [0, 1)."""
        return (self.words(purpose, rows, places) >> 8).float() * 2.0**-24

    def below(self, purpose: int, rows: int, places: int, limit: int | Tensor) -> Tensor:
        """Integers (rows, places) int64, uniform in [0, limit); ``limit``, at most 2^31, may differ by row or place."""
        return (self.words(purpose, rows, places) * limit) >> 32

    def subset(self, purpose: int, rows: int, places: int, count: int) -> Tensor:
        """A mask (rows, places) bool of exactly ``count`` places a row: the ``count`` smallest words."""
        words = self.words(purpose, rows, places)
        if count >= places:
            return torch.ones_like(words, dtype=torch.bool)
        return words <= words.topk(count, dim=1, largest=False, sorted=False).values.amax(dim=1, keepdim=True)


def widen(starts: Tensor, span: int, length: int) -> Tensor:
    """Mark ``span`` places from each marked one on, (B, P) bool -> (B, length) bool with P = length - span + 1."""
    if span == 1:
        return starts
    padded = F.pad(starts, (span - 1, length - starts.shape[1]))
    return padded.unfold(1, span, 1).any(dim=2)


def _mix(word: Tensor) -> Tensor:
    """A bijection of 32-bit words, held as int64, that leaves no trace of the input's order."""
    word = ((word ^ (word >> 16)) * _FACTORS[0]) & _WORD
    word = ((word ^ (word >> 15)) * _FACTORS[1]) & _WORD
    return word ^ (word >> 16)


def _mix_number(word: int) -> int:
    word = ((word ^ (word >> 16)) * _FACTORS[0]) & _WORD
    word = ((word ^ (word >> 15)) * _FACTORS[1]) & _WORD
    return word ^ (word >> 16)
