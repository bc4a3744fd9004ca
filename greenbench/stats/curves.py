"""Learning curves and trade-offs: the cost of reaching a target, and who is not dominated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def energy_to_target(curve: Iterable[tuple[float, float]], target: float) -> float:
    """The cost at which a learning curve first reaches ``target``; infinite if it never does.

    ``curve`` holds (cost, error) points, lower errors being better; between two points it is taken as straight.
    Points without a finite error are left out.
    """
    points = sorted((c, e) for c, e in curve if math.isfinite(c) and math.isfinite(e))
    before: tuple[float, float] | None = None
    for cost, error in points:
        if error <= target:
            if before is None or before[1] <= error:
                return cost
            return before[0] + (cost - before[0]) * (before[1] - target) / (before[1] - error)
        before = (cost, error)
    return math.inf


@dataclass(frozen=True)
class ParetoPoint:
    """A contestant on the plane of error against cost: means over its runs and how surely it is on the front.

    ``front_probability`` is the share of bootstrap resamples of the runs in which nobody is better in one and no
    worse in the other; ``dominated_by`` lists those who are, by their means.
    """

    name: str
    cost: float
    error: float
    runs: int
    front_probability: float
    dominated_by: tuple[str, ...]

    @property
    def on_front(self) -> bool:
        """Whether no other contestant's means dominate this one's."""
        return not self.dominated_by


def pareto_front(
    runs: Mapping[str, Sequence[tuple[float, float]]], *, samples: int = 2_000, seed: int = 0
) -> list[ParetoPoint]:
    """All contestants, cheapest first, with their standing; ``runs`` maps a name to (cost, error) per run.

    A run's cost and error are resampled together. One run alone has no spread: its probability is 0 or 1 with respect
    to others' spread only.
    """
    names = [name for name in runs if len(runs[name])]
    arrays = [np.asarray(runs[name], dtype=np.float64).reshape(-1, 2) for name in names]
    if not names:
        return []
    means = np.stack([a.mean(axis=0) for a in arrays])
    generator = np.random.default_rng(seed)
    resampled = np.stack([a[generator.integers(0, len(a), (samples, len(a)))].mean(axis=1) for a in arrays], axis=1)
    probability = 1.0 - _dominates(resampled).any(axis=1).mean(axis=0)
    beaten = _dominates(means[None])[0]
    points = [
        ParetoPoint(
            name,
            float(means[i, 0]),
            float(means[i, 1]),
            len(arrays[i]),
            float(probability[i]),
            tuple(other for j, other in enumerate(names) if beaten[j, i]),
        )
        for i, name in enumerate(names)
    ]
    return sorted(points, key=lambda point: (point.cost, point.error))


def _dominates(points: np.ndarray) -> np.ndarray:
    """(S, N, N): whether contestant i dominates j in sample s, for (S, N, 2) costs and errors."""
    first, second = points[:, :, None, :], points[:, None, :, :]
    return np.asarray((first <= second).all(axis=-1) & (first < second).any(axis=-1))
