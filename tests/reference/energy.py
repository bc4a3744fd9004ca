"""Energy the slow and obvious way, in exact fractions: what the integrator and the counter must agree with."""

from __future__ import annotations

import itertools
from fractions import Fraction


def power_at(t_s: list[float], power_w: list[float], t: Fraction) -> Fraction:
    """Power at a moment: on the line between two readings, held before the first and after the last."""
    if t <= Fraction(t_s[0]):
        return Fraction(power_w[0])
    for (ta, pa), (tb, pb) in zip(zip(t_s, power_w), zip(t_s[1:], power_w[1:])):  # noqa: B905
        if Fraction(ta) <= t <= Fraction(tb):
            return Fraction(pa) + (Fraction(pb) - Fraction(pa)) * (t - Fraction(ta)) / (Fraction(tb) - Fraction(ta))
    return Fraction(power_w[-1])


def energy(t_s: list[float], power_w: list[float], t0_s: float, t1_s: float) -> float:
    """Energy of a window: one trapezium between every two neighbouring corners of the curve."""
    begin, end = Fraction(t0_s), Fraction(t1_s)
    corners = sorted({begin, end, *(Fraction(t) for t in t_s if begin < Fraction(t) < end)})
    total = Fraction(0)
    for a, b in itertools.pairwise(corners):
        total += (b - a) * (power_at(t_s, power_w, a) + power_at(t_s, power_w, b)) / 2
    return float(total)
