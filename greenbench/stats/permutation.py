"""Exact permutation tests: every relabelling that the null hypothesis makes equally likely is counted.

They assume no distribution, so they have a floor: with n runs there are only so many relabellings, and no data can
give a smaller p than one (or two, by symmetry) of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

EXACT_LIMIT = 200_000
"""Above this number of relabellings a seeded random sample of them is drawn instead."""
SAMPLES = 100_000
_TIE = 1e-9


@dataclass(frozen=True)
class PermutationResult:
    """Two-sided ``p``, the smallest ``floor`` attainable at this n, and whether all relabellings were counted."""

    p: float
    floor: float
    exact: bool


def sign_flip_floor(n: int) -> float:
    """The smallest two-sided p of the paired test with ``n`` pairs: 2 of 2^n sign patterns."""
    return min(1.0, 2.0 / 2.0**n)


def permutation_floor(n_base: int, n_new: int) -> float:
    """The smallest two-sided p of the unpaired test; with equal groups the mirrored labelling ties."""
    if n_base < 1 or n_new < 1:
        return 1.0
    return min(1.0, (2.0 if n_base == n_new else 1.0) / math.comb(n_base + n_new, n_base))


def sign_flip_test(differences: Sequence[float], *, seed: int = 0) -> PermutationResult:
    """Test paired differences against 0 by flipping their signs; statistic: the absolute sum.

    Under the null hypothesis the two members of each pair are exchangeable, so each sign is a coin toss.
    """
    values = _finite(differences, "differences")
    n = len(values)
    observed = abs(values.sum())
    tie = _TIE * np.abs(values).sum()
    exact = 2**n <= EXACT_LIMIT
    if exact:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        hits = int((np.abs((1 - 2 * bits) @ values) >= observed - tie).sum())
        return PermutationResult(hits / 2**n, sign_flip_floor(n), True)
    signs = np.random.default_rng(seed).integers(0, 2, (SAMPLES, n), dtype=np.int8) * 2 - 1
    hits = int((np.abs(signs @ values) >= observed - tie).sum())
    return PermutationResult((hits + 1) / (SAMPLES + 1), 1 / (SAMPLES + 1), False)


def permutation_test(base: Sequence[float], new: Sequence[float], *, seed: int = 0) -> PermutationResult:
    """Test whether two groups differ by exchanging their labels; statistic: the absolute difference of means.

    Exact when the groups are independent. When runs are paired and pairs resemble each other it is conservative: the
    spread that the pair shares stays in the reference distribution.
    """
    first, second = _finite(base, "base"), _finite(new, "new")
    pooled = np.concatenate([first, second])
    pooled = pooled - pooled.mean()
    n, k = len(pooled), len(first)
    # The mean difference is a linear function of the first group's sum once the grand sum is 0.
    observed = abs(pooled[:k].sum())
    tie = _TIE * np.abs(pooled).sum()
    count = math.comb(n, k)
    if count <= EXACT_LIMIT:
        hits = sum(_extreme(pooled[index], observed - tie) for index in _label_blocks(n, k))
        return PermutationResult(hits / count, permutation_floor(k, n - k), True)
    generator = np.random.default_rng(seed)
    hits = 0
    for _ in range(10):
        order = generator.permuted(np.broadcast_to(np.arange(n), (SAMPLES // 10, n)), axis=1)[:, :k]
        hits += _extreme(pooled[order], observed - tie)
    return PermutationResult((hits + 1) / (SAMPLES + 1), 1 / (SAMPLES + 1), False)


def _extreme(groups: np.ndarray, at_least: float) -> int:
    return int((np.abs(groups.sum(axis=1)) >= at_least).sum())


def _label_blocks(n: int, k: int, block: int = 20_000) -> list[np.ndarray]:
    labels = combinations(range(n), k)
    blocks = iter(lambda: list(islice(labels, block)), [])
    return [np.array(found, dtype=np.intp) for found in blocks]


def _finite(values: Sequence[float], name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers, found {list(values)!r}")
    return array
