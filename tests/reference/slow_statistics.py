"""Statistics the slow and obvious way: loops over all relabellings, no shortcuts, no shared code."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise, product


def sign_flip_p(differences: list[int]) -> Fraction:
    """Two-sided p of the paired test, in exact arithmetic on whole numbers."""
    observed = abs(sum(differences))
    patterns = list(product((1, -1), repeat=len(differences)))
    hits = sum(abs(sum(s * d for s, d in zip(pattern, differences, strict=True))) >= observed for pattern in patterns)
    return Fraction(hits, len(patterns))


def permutation_p(base: list[int], new: list[int]) -> Fraction:
    """Two-sided p of the unpaired test of a difference of means, in exact arithmetic on whole numbers."""
    pooled = base + new

    def difference(group: tuple[int, ...]) -> Fraction:
        chosen = [pooled[i] for i in group]
        others = [pooled[i] for i in range(len(pooled)) if i not in group]
        return abs(Fraction(sum(chosen), len(chosen)) - Fraction(sum(others), len(others)))

    observed = difference(tuple(range(len(base))))
    labellings = list(combinations(range(len(pooled)), len(base)))
    return Fraction(sum(difference(group) >= observed for group in labellings), len(labellings))


def holm_rejects(p_values: list[float], alpha: float) -> list[bool]:
    """Holm's procedure as its definition says: go up from the smallest p, stop at the first that fails."""
    rejected = [False] * len(p_values)
    waiting = list(range(len(p_values)))
    while waiting:
        smallest = min(waiting, key=lambda i: p_values[i])
        if p_values[smallest] > alpha / len(waiting):
            break
        rejected[smallest] = True
        waiting.remove(smallest)
    return rejected


def dominated(points: dict[str, tuple[float, float]]) -> dict[str, set[str]]:
    """Who is dominated by whom, pair by pair."""
    found: dict[str, set[str]] = {name: set() for name in points}
    for name, (cost, error) in points.items():
        for other, (other_cost, other_error) in points.items():
            no_worse = other_cost <= cost and other_error <= error
            if no_worse and (other_cost < cost or other_error < error):
                found[name].add(other)
    return found


def first_reach(curve: list[tuple[float, float]], target: float, resolution: int = 200_000) -> float:
    """The cost of reaching a target, by walking along the straight pieces of the curve in tiny steps."""
    points = sorted(curve)
    if points[0][1] <= target:
        return points[0][0]
    for (c0, e0), (c1, e1) in pairwise(points):
        if e1 > target:
            continue
        for step in range(resolution + 1):
            if e0 + (e1 - e0) * step / resolution <= target:
                return c0 + (c1 - c0) * step / resolution
    return float("inf")
