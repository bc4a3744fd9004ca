"""What a power sensor leaves open that looks at its device only now and then, and says the same until it looks again.

Between two looks the power may have changed at any moment. A load in step with the sensor is seen wrong in the same way
every time, so the errors add up: a 2 Hz square wave under a sensor that is refreshed every 100 ms is off by a tenth.
"""

from __future__ import annotations

import numpy as np

from greenbench.power.journal.curve import Floats, PowerCurve

_LONGEST_S = 1.0  # no sensor in use holds its reading longer
_FEW = 4
_SHARE = 0.05  # of all intervals that a length must have to count as one


def refresh_s(power: PowerCurve) -> float:
    """For how long a reading may be held at most, by the distances of its changes.

    They are whole numbers of refreshes. Where all are alike, or few, one refresh may be as long as the shortest.
    """
    if len(power.t_s) < 2:
        return 0.0
    spacing_s = float(np.median(np.diff(power.t_s)))
    moments = power.t_s[1:][np.diff(power.power_w) != 0]
    if len(moments) < 2:
        return _LONGEST_S
    intervals = np.sort(np.diff(moments))
    groups = np.split(intervals, np.flatnonzero(np.diff(intervals) > 2 * spacing_s) + 1)
    least = max(_FEW / 2, _SHARE * len(intervals))
    lengths = np.array([float(np.median(group)) for group in groups if len(group) >= least])
    shortest = float(np.quantile(intervals, _SHARE))
    between = np.diff(lengths)
    return float(min([shortest, *between.tolist(), _LONGEST_S])) + spacing_s


def hold_error_j(power: PowerCurve, begin_s: float, end_s: float) -> float:
    """How far the joules of a window may be off because each reading was held until the sensor looked again.

    Two bounds, of which the wider holds. A rise that is seen late takes energy away, a fall that is seen late adds
    some: each as much as its swing times the refresh, whether or not the load keeps step with the sensor. And a load
    that is faster than the sensor is known by as many looks as there were: three standard errors of their mean, by how
    far looks stand out from both neighbours in the whole recording, because a short window may have met few of them.
    Of few looks it is not well known how far they stand out either: the bound is wider as Student's t is (99 %).

    A load that keeps step with a sensor slower than itself looks constant, and no bound follows from its readings.
    """
    held_s = refresh_s(power)
    # A change shortly before the window's end may be seen after it.
    steps = np.diff(power.around(begin_s, end_s + held_s).power_w)
    swings_j = held_s * max(float(np.sum(steps[steps > 0])), float(-np.sum(steps[steps < 0])))
    looks = _looks(power, held_s)
    if len(looks) < 3:
        return swings_j
    # A slow load's looks lie between their neighbours. Of independent ones, the mean square of what lies beyond is
    # 0.78 of their variance (normal, by order statistics), and more for spikes and squares.
    middle = np.median(np.stack([looks[:-2], looks[1:-1], looks[2:]]), axis=0)
    differ_w = float(np.sqrt(np.mean((looks[1:-1] - middle) ** 2) / 0.78))
    errors = 3 * (1 + 2 / len(looks))
    return max(swings_j, errors * differ_w * float(np.sqrt((end_s - begin_s) * held_s)))


def _looks(power: PowerCurve, held_s: float) -> Floats:
    """One reading of every refresh."""
    if held_s <= 0.0:
        return power.power_w
    moments = np.arange(power.t_s[0], power.t_s[-1], held_s)
    return power.power_w[np.searchsorted(power.t_s, moments, side="right") - 1]
