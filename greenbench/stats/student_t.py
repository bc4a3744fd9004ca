"""Student's t distribution, central and shifted, without scipy: three functions are not worth 140 MB in a light core.

The regularised incomplete beta function is the continued fraction of Numerical Recipes (6.4) by Lentz' method; the
non-central distribution is the integral that defines it, over the estimated spread, which costs the same at any shift
(the usual series, AS 243, takes as many terms as half the shift's square). A test holds both against scipy.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np

_TINY, _EPS = 1e-300, 1e-15
_MOST_TERMS = 20_000
_REACH = 9.0  # standard deviations beyond which a normal variable has less than 1e-18
_NODES = 64


def t_cdf(t: float, df: float) -> float:
    """The probability of a value below ``t`` with ``df`` degrees of freedom (positive, not necessarily whole)."""
    if math.isinf(df):
        return _normal_cdf(t)
    if t * t < df:  # near the middle the tail is all but a half, and would lose the digits that matter
        return 0.5 + math.copysign(0.5 * _beta_cdf(t * t / (df + t * t), 0.5, df / 2), t)
    tail = 0.5 * _beta_cdf(df / (df + t * t), df / 2, 0.5)
    return tail if t < 0 else 1 - tail


@functools.lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The value below which a t variable lies with ``probability`` (strictly between 0 and 1)."""
    if not 0 < probability < 1:
        return math.nan
    if probability == 0.5:
        return 0.0
    lower = min(probability, 1 - probability)
    low, high = -1.0, 0.0
    while t_cdf(low, df) > lower:
        low, high = low * 2, low
    found = max(low, NormalDist().inv_cdf(lower))
    for _ in range(200):
        error = t_cdf(found, df) - lower
        low, high = (low, found) if error > 0 else (found, high)
        # Newton's step where it stays inside what is known, else half of that.
        step = found - error / _t_density(found, df)
        before, found = found, step if low < step < high else (low + high) / 2
        if abs(found - before) <= 1e-15 * abs(found):
            break
    return found if probability < 0.5 else -found


def shifted_t_cdf(t: float, df: float, shift: float) -> float:
    """The probability below ``t`` of a non-central t variable with non-centrality ``shift``; ``df`` is whole."""
    if t < 0:
        return 1 - shifted_t_cdf(-t, df, -shift)
    if t == 0:
        return _normal_cdf(-shift)
    low, high = max(0.0, 1 - _REACH / math.sqrt(df)), 1 + _REACH / math.sqrt(df)
    # Where the normal distribution rises it has nodes of its own, however steep it is.
    begin, end = (min(high, max(low, (shift + side * _REACH) / t)) for side in (-1, 1))
    spread, weights = _nodes(begin, end)
    rising = np.array([_normal_cdf(z) for z in (t * spread - shift).tolist()])
    total = float(weights @ (_chi_density(spread, df) * rising))
    spread, weights = _nodes(end, high)
    return min(1.0, max(0.0, total + float(weights @ _chi_density(spread, df))))


def _nodes(begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _gauss_legendre()
    half = (end - begin) / 2
    return begin + half * (1 + nodes), half * weights


@functools.cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def _chi_density(s: np.ndarray, df: float) -> np.ndarray:
    """The density of the root of a chi-square variable over its degrees of freedom, at positive ``s``."""
    half = df / 2
    with np.errstate(divide="ignore", under="ignore"):
        factor = np.log(s) * (df - 1) if df > 1 else 0.0
        density: np.ndarray = 2 * np.exp(half * math.log(half) - math.lgamma(half) + factor - half * s * s)
    return density


def _t_density(t: float, df: float) -> float:
    if math.isinf(df):
        return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    log_front = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    return math.exp(log_front - (df + 1) / 2 * math.log1p(t * t / df))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _beta_cdf(x: float, a: float, b: float) -> float:
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _fraction(x, a, b) / a
    return 1 - math.exp(log_front) * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        before = value
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + factor * d)
            c = _away_from_zero(1 + factor / c)
            value *= c * d
        if abs(value - before) <= _EPS * abs(value):
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
