"""Intervals and the t family: normal theory for what permutations cannot give (bounds, predictions, sample sizes)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenbench.stats.student_t import shifted_t_cdf, t_cdf, t_quantile


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval; infinite bounds where n is too small to have one."""

    estimate: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class WelchResult:
    """Difference of means (second minus first) of two groups of unequal variance, with interval and two-sided p."""

    difference: float
    low: float
    high: float
    p: float
    df: float


def t_interval(values: Sequence[float], alpha: float = 0.05) -> Interval:
    """The mean with its t interval; for paired runs give the differences. Assumes they are near normal."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, -math.inf, math.inf, "t")
    half = t_quantile(1 - alpha / 2, len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Interval(mean, mean - half, mean + half, "t")


def paired_t(differences: Sequence[float]) -> float:
    """The two-sided p of the paired t test; NaN with fewer than two pairs."""
    array = np.asarray(differences, dtype=np.float64)
    if len(array) < 2:
        return math.nan
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return _p_of(float(array.mean()), error, len(array) - 1)


def welch(base: Sequence[float], new: Sequence[float], alpha: float = 0.05) -> WelchResult:
    """Welch's unpaired comparison, ``new`` minus ``base``; NaN and infinite bounds below two runs a side."""
    first, second = np.asarray(base, dtype=np.float64), np.asarray(new, dtype=np.float64)
    difference = float(second.mean() - first.mean())
    if min(len(first), len(second)) < 2:
        return WelchResult(difference, -math.inf, math.inf, math.nan, math.nan)
    parts = [float(a.var(ddof=1)) / len(a) for a in (first, second)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return WelchResult(difference, difference, difference, 1.0 if difference == 0 else 0.0, math.inf)
    df = sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1))
    half = t_quantile(1 - alpha / 2, df) * error
    return WelchResult(difference, difference - half, difference + half, _p_of(difference, error, df), df)


def prediction_interval(baseline: Sequence[float], n_new: int = 1, alpha: float = 0.05) -> Interval:
    """Where the mean of ``n_new`` further runs falls with probability 1 - alpha if nothing changed.

    The interval of a future mean: the baseline's own uncertainty and the new runs' spread both count.
    """
    array = np.asarray(baseline, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2 or n_new < 1:
        return Interval(mean, -math.inf, math.inf, "prediction")
    spread = float(array.std(ddof=1)) * math.sqrt(1 / len(array) + 1 / n_new)
    half = t_quantile(1 - alpha / 2, len(array) - 1) * spread
    return Interval(mean, mean - half, mean + half, "prediction")


def non_inferior(differences: Sequence[float], margin: float, alpha: float = 0.05) -> tuple[bool, float]:
    """Whether paired ``differences`` (positive is worse) stay below ``margin``, and their upper bound.

    One-sided: the upper 1 - alpha bound of the mean must lie under the margin. Fewer than two pairs show nothing.
    """
    bound = t_interval(differences, 2 * alpha).high
    return bound < margin, bound


def required_runs(
    difference: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, paired: bool = False, limit: int = 10_000
) -> int:
    """The runs per side (or pairs) at which a true ``difference`` is found with probability ``power``.

    ``sd`` is that of one run, or of the paired differences. Returns ``limit`` if even that does not suffice.
    """
    if sd <= 0:
        return 2
    effect = abs(difference) / sd
    # The power grows with n: halve the range rather than try each.
    fewest, most = 2, limit
    while fewest < most:
        middle = (fewest + most) // 2
        if power_of_t(effect, middle, alpha=alpha, paired=paired) >= power:
            most = middle
        else:
            fewest = middle + 1
    return most


def power_of_t(effect: float, n: int, *, alpha: float = 0.05, paired: bool = False) -> float:
    """The power of the two-sided t test at a standardised ``effect`` with ``n`` runs a side (or pairs)."""
    df = n - 1 if paired else 2 * n - 2
    shift = effect * math.sqrt(n if paired else n / 2)
    critical = t_quantile(1 - alpha / 2, df)
    return 1 - shifted_t_cdf(critical, df, shift) + shifted_t_cdf(-critical, df, shift)


def _p_of(difference: float, error: float, df: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return 2 * t_cdf(-abs(difference / error), df)
