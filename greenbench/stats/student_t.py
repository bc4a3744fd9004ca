"""Student's t distribution, central and shifted, without scipy: three functions are not worth 140 MB in a light core.

The regularised incomplete beta function is the continued fraction of Numerical Recipes (6.4) by Lentz' method; the
non-central distribution is algorithm AS 243 (Lenth, Applied Statistics 38, 1989). A test holds both against scipy.
"""

from __future__ import annotations

import math

_TINY, _EPS = 1e-300, 1e-15
_MOST_TERMS = 20_000


def t_cdf(t: float, df: float) -> float:
    """The probability of a value below ``t`` with ``df`` degrees of freedom (positive, not necessarily whole)."""
    if math.isinf(df):
        return _normal_cdf(t)
    if t * t < df:  # near the middle the tail is all but a half, and would lose the digits that matter
        return 0.5 + math.copysign(0.5 * _beta_cdf(t * t / (df + t * t), 0.5, df / 2), t)
    tail = 0.5 * _beta_cdf(df / (df + t * t), df / 2, 0.5)
    return tail if t < 0 else 1 - tail


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
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, df) < lower else (low, middle)
    found = (low + high) / 2
    return found if probability < 0.5 else -found


def shifted_t_cdf(t: float, df: float, shift: float) -> float:
    """The probability below ``t`` of a non-central t variable with non-centrality ``shift``."""
    if t < 0:
        return 1 - shifted_t_cdf(-t, df, -shift)
    half = shift * shift / 2
    x = t * t / (t * t + df)
    total = 0.0
    for j in range(_MOST_TERMS if x > 0 else 0):
        term = _shifted_term(j, half, shift, x, df)
        total += term
        # The weights grow up to j = half, so only beyond it a small term means that the rest is small.
        if j > half and abs(term) < _EPS:
            break
    return min(1.0, max(0.0, _normal_cdf(-shift) + total / 2))


def _shifted_term(j: int, half: float, shift: float, x: float, df: float) -> float:
    log_half = math.log(half) if half > 0 else -math.inf
    even = math.exp(-half + j * log_half - math.lgamma(j + 1)) if half > 0 else float(j == 0)
    odd = shift / math.sqrt(2) * math.exp(-half + (j * log_half if j else 0.0) - math.lgamma(j + 1.5))
    return even * _beta_cdf(x, j + 0.5, df / 2) + odd * _beta_cdf(x, j + 1, df / 2)


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
