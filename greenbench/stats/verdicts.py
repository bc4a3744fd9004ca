"""From numbers to one of four verdicts: which exact test gates, Holm's correction, and the practical threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from greenbench.metrics import Metric
from greenbench.stats.permutation import (
    PermutationResult,
    permutation_floor,
    permutation_test,
    sign_flip_floor,
    sign_flip_test,
)

BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, NOT_ENOUGH = "no difference shown", "not enough runs"
VERDICTS = (BETTER, WORSE, NO_DIFFERENCE, NOT_ENOUGH)

HEADROOM = 4
"""The sign-flip test gates only where its floor is this many times smaller than needed: just above the floor it is
all or nothing, every pair would have to agree."""


@dataclass(frozen=True)
class Gate:
    """The test that decides, chosen from the numbers of runs and of metrics alone, before any value is seen."""

    test: Literal["sign-flip", "permutation"]
    floor: float
    decidable: bool
    """Whether the floor, after Holm's correction for the whole table, can fall to alpha at all."""

    def run(self, base: Sequence[float], new: Sequence[float]) -> PermutationResult:
        """Run the test; for ``sign-flip`` the sequences are paired."""
        if self.test == "sign-flip":
            return sign_flip_test([b - a for a, b in zip(base, new, strict=True)])
        return permutation_test(base, new)


def choose_gate(pairs: int, n_base: int, n_new: int, *, metrics: int = 1, alpha: float = 0.05) -> Gate:
    """The test for ``pairs`` common seeds among ``n_base`` and ``n_new`` runs and ``metrics`` in the table.

    The paired sign-flip test where pairs are many enough for it to resolve (8 for one metric), else the unpaired
    permutation test of the same runs, whose floor is lower (5 against 5: 0.008, where 5 pairs have 0.0625).
    """
    paired_floor = sign_flip_floor(pairs)
    everything_paired = pairs == n_base == n_new
    if everything_paired and HEADROOM * metrics * paired_floor <= alpha:
        return Gate("sign-flip", paired_floor, decidable=True)
    floor = permutation_floor(n_base, n_new)
    return Gate("permutation", floor, decidable=metrics * floor <= alpha)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the given order: the chance of any false claim stays below alpha."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def judge(
    metric: Metric, base_mean: float, new_mean: float, p_adjusted: float, *, decidable: bool, alpha: float = 0.05
) -> str:
    """The verdict on ``new`` against ``base``: significant, larger than the threshold, and which way."""
    if not decidable:
        return NOT_ENOUGH
    difference = new_mean - base_mean
    if p_adjusted > alpha or abs(difference) <= practical_threshold(metric, base_mean) or metric.direction == "none":
        return NO_DIFFERENCE
    return BETTER if (difference < 0) == (metric.direction == "lower") else WORSE


def practical_threshold(metric: Metric, base_mean: float) -> float:
    """The smallest difference worth claiming, in the metric's unit."""
    return metric.threshold * abs(base_mean) if metric.relative else metric.threshold
