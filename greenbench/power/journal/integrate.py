"""Power readings to joules: piecewise linear between readings, held at the edges, with every gap accounted for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Integral:
    """Energy of one window and what it rests on.

    ``gap_s`` is the time without readings inside the window (bridged linearly); ``uncertainty_j`` is the edge and
    gap term; ``covered`` is False where the readings do not reach both edges.
    """

    energy_j: float
    uncertainty_j: float
    samples: int
    gap_s: float
    covered: bool


def integrate(t_s: Floats, power_w: Floats, t0_s: float, t1_s: float, max_gap_s: float) -> Integral:
    """Integrate power over ``[t0_s, t1_s]``.

    Args:
        t_s: reading times, strictly increasing, seconds.
        power_w: power at these times, finite.
        t0_s, t1_s: window; readings outside it serve to interpolate its edges.
        max_gap_s: a longer distance between two readings is a gap.

    An edge beyond the first or last reading holds that reading's power for at most ``max_gap_s``.
    """
    if len(t_s) == 0 or t1_s <= t0_s:
        return Integral(0.0, 0.0, 0, max(0.0, t1_s - t0_s), covered=False)
    covered = bool(t_s[0] - t0_s <= max_gap_s and t1_s - t_s[-1] <= max_gap_s)
    inside = (t_s > t0_s) & (t_s < t1_s)
    edges = np.interp([t0_s, t1_s], t_s, power_w)
    t = np.concatenate([[t0_s], t_s[inside], [t1_s]])
    power = np.concatenate([edges[:1], power_w[inside], edges[1:]])
    energy_j = float(np.sum(np.diff(t) * (power[1:] + power[:-1]) / 2))
    gap_s, gap_j = _gaps(t_s, power_w, t0_s, t1_s, max_gap_s)
    return Integral(energy_j, gap_j + _reading_error(t, power), int(np.sum(inside)), gap_s, covered)


def _gaps(t_s: Floats, power_w: Floats, t0_s: float, t1_s: float, max_gap_s: float) -> tuple[float, float]:
    begin = np.concatenate([[t0_s], t_s[:-1], [t_s[-1]]])
    end = np.concatenate([[t_s[0]], t_s[1:], [t1_s]])
    begin, end = np.clip(begin, t0_s, t1_s), np.clip(end, t0_s, t1_s)
    raw = np.concatenate([[t_s[0] - t0_s], np.diff(t_s), [t1_s - t_s[-1]]])
    gap_s = float(np.sum((end - begin)[(raw > max_gap_s) & (end > begin)]))
    swing = float(np.max(power_w) - np.min(power_w))
    return gap_s, gap_s * swing


def _reading_error(t: Floats, power: Floats) -> float:
    """Bound the error of joining readings by lines.

    Between two readings the power may have switched at any moment: at most half their difference times their
    distance each. Switches are independent of the jittered sampling times, so they add like independent errors;
    three standard deviations of a uniform error and the two edges in full.
    """
    if len(t) < 2:
        return 0.0
    distance = np.diff(t)
    half = np.abs(np.diff(power)) * distance / 2
    swing = float(np.max(power) - np.min(power))
    # Where a reading came late, whole cycles of the load may have gone by unseen: the full swing, added up.
    late = distance > 4 * float(np.median(distance))
    unseen_j = swing * float(np.sum(distance[late]))
    half = np.where(late, 0.0, half)
    edges = swing * float(t[1] - t[0] + t[-1] - t[-2]) / 2
    return edges + unseen_j + 3.0 * float(np.sqrt(np.sum(half**2) / 3.0))
