"""An energy counter as read: cleaned, unwrapped, and placed in time.

A counter that updates every 100 ms tells how much, but only roughly when: a change seen at one reading happened
at some moment since the previous one. Where updates come in a regular rhythm, which is checked, the rhythm is
fitted over neighbouring updates and places each of them within milliseconds.

Where a reading is costly, updates are seen seconds apart, and closely only around a window's edge. What lies between
is divided by the power readings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenbench.power.journal.integrate import integrate

Floats = NDArray[np.float64]

_DENSE_S = 0.012  # readings at least this close describe the power inside one update
_FIT_HALF_WIDTH = 20  # updates on either side that share one fit of the rhythm
_FIT_LEAST = 8  # updates that must be placed closely before a rhythm is believed
_UNEVEN_S = 0.002  # how far a driver's update may stray from its rhythm
_SLOPES = 65  # slopes tried between the steepest and the flattest
_STRAY = 0.03  # how far neighbouring updates may be from one period apart, as a share of it
_CONTRADICTED = 0.1  # share of neighbours that are not one period apart from which on there is no rhythm
_STRETCH = 8  # periods without a sighting after which updates can no longer be counted through
_RARE = 2.5  # periods from which on an interval is divided by the power readings in it
_SHAPE_LEAST = 8  # power readings that describe such an interval
_SHAPE_GAP_S = 0.5


@dataclass
class Knots:
    """Moments ``t_s`` at which the counter held exactly ``energy_j``; ``slack_s`` is how far a moment may be off.

    ``resets`` are the intervals in which the counter began anew; ``backward`` and ``wraps`` count repairs.
    """

    t_s: Floats
    energy_j: Floats
    slack_s: Floats
    resets: list[tuple[float, float]]
    backward: int = 0
    wraps: int = 0
    period_s: float | None = None


def unwrap(energy_j: Floats, t_s: Floats, wrap_j: float | None) -> tuple[Floats, list[tuple[float, float]], int, int]:
    """Make a raw counter cumulative.

    Returns the energies, the intervals in which the counter was reset (their energy is unknown), the number of
    small backward steps (ignored: the counter holds until it has caught up) and the number of wraps.
    """
    out = np.empty_like(energy_j)
    resets: list[tuple[float, float]] = []
    backward = wraps = 0
    offset, top = 0.0, energy_j[0]
    out[0] = energy_j[0]
    for i in range(1, len(energy_j)):
        value = energy_j[i] + offset
        if value >= top:
            top = value
        elif wrap_j is not None and top - value > 0.5 * wrap_j:
            offset += wrap_j
            wraps += 1
            top = energy_j[i] + offset
        elif _is_reset(energy_j, i):
            resets.append((float(t_s[i - 1]), float(t_s[i])))
            offset = top - energy_j[i]
        else:
            backward += 1
        out[i] = top
    return out, resets, backward, wraps


def _is_reset(energy_j: Floats, i: int) -> bool:
    # After a reset the counter begins near zero; a backward step is small against the counter itself.
    return bool(energy_j[i] < 0.5 * energy_j[i - 1])


def knots(t_s: Floats, energy_j: Floats, period_s: float | None, wrap_j: float | None = None) -> Knots:
    """Place the counter's updates in time.

    Args:
        t_s: reading times, strictly increasing.
        energy_j: raw counter at these times, without NaN.
        period_s: the counter's update period as probed; None if unknown.
        wrap_j: range of the counter, None if it does not wrap.
    """
    total, resets, backward, wraps = unwrap(energy_j, t_s, wrap_j)
    changed = np.flatnonzero(np.diff(total) > 0) + 1
    if len(changed) == 0:
        both = np.array([t_s[0], t_s[-1]])
        return Knots(both, total[[0, -1]], np.zeros(2), resets, backward, wraps, period_s)
    gap = t_s[changed] - t_s[changed - 1]
    # Several updates may fall between two readings: only the last matters, and it is one period old at most.
    width = gap if period_s is None else np.minimum(gap, period_s)
    t = t_s[changed] - width / 2
    slack = width / 2
    if period_s is not None and len(changed) > 1:
        t, slack = _one_period_apart(t, slack, t_s, changed, period_s)
    return Knots(t, total[changed], slack, resets, backward, wraps, period_s)


def _one_period_apart(
    t: Floats, slack: Floats, read_t_s: Floats, changed: NDArray[np.intp], period_s: float
) -> tuple[Floats, Floats]:
    """Let neighbouring updates between which none can have been missed bound each other: one period lies between."""
    steps = np.diff(read_t_s[: changed[-1] + 1])
    follows = np.maximum.reduceat(steps, changed[:-1]) < 0.9 * period_s
    low, high = t - slack, t + slack
    stray_s = max(_UNEVEN_S, _STRAY * period_s)
    least = np.where(follows, period_s - stray_s, -np.inf)
    most = np.where(follows, period_s + stray_s, np.inf)
    contradicted = (low[:-1] + least > high[1:]) | (high[:-1] + most < low[1:])
    if np.sum(contradicted) > _CONTRADICTED * np.sum(follows):
        return t, slack
    first, last = low.copy(), high.copy()
    first[1:], last[1:] = np.maximum(low[1:], low[:-1] + least), np.minimum(high[1:], high[:-1] + most)
    first[:-1], last[:-1] = np.maximum(first[:-1], low[1:] - most), np.minimum(last[:-1], high[1:] - least)
    kept = first <= last
    return np.where(kept, (first + last) / 2, t), np.where(kept, (last - first) / 2, slack)


def _neighbourhood(found: Knots, t_s: float) -> tuple[Floats, Floats, Floats]:
    """Return ``(t_s, energy_j, slack_s)`` of the updates around a moment, placed by their rhythm if they have one."""
    centre = int(np.searchsorted(found.t_s, t_s))
    begin, end = max(0, centre - _FIT_HALF_WIDTH), min(len(found.t_s), centre + _FIT_HALF_WIDTH)
    if found.period_s is not None:
        far = np.flatnonzero(np.diff(found.t_s[begin:end]) > _STRETCH * found.period_s) + begin
        # At least the update on either side of the moment stays.
        begin = int(np.max(far[far < centre - 1] + 1, initial=begin))
        end = int(np.min(far[far >= centre] + 1, initial=end))
    part = slice(begin, end)
    t, energy, slack = found.t_s[part], found.energy_j[part], found.slack_s[part]
    placed = _on_a_rhythm(t, slack, found.period_s) if found.period_s is not None else None
    return (t, energy, slack) if placed is None else (placed[0], energy, placed[1])


def _on_a_rhythm(t_s: Floats, slack_s: Floats, period_s: float) -> tuple[Floats, Floats] | None:
    """Place updates on the rhythm they share: ``(t_s, slack_s)``, or None where readings do not show one.

    Each reading bounds its update; a rhythm is a start and a slope that keep all bounds. What all such pairs leave
    open for an update is its slack, so a rhythm narrows it only as far as the readings prove.
    """
    # Two updates known to a quarter of a period each cannot be miscounted by one; others do not say their number.
    sure = np.flatnonzero(slack_s < 0.25 * period_s)
    if len(sure) < _FIT_LEAST:
        return None
    number = np.concatenate([[0.0], np.cumsum(np.maximum(1.0, np.round(np.diff(t_s[sure]) / period_s)))])
    slope, start = np.polyfit(number, t_s[sure], 1)
    if abs(slope / period_s - 1) > 0.25:
        return None
    # Neither the fitted slope nor the true one is further off than the widest bound over the length allows.
    reach = 4 * float(np.max(slack_s[sure])) / number[-1]
    slopes = slope + np.linspace(-reach, reach, _SLOPES)[:, None]
    low = np.max(t_s[sure] - slack_s[sure] - _UNEVEN_S - slopes * number, axis=1, keepdims=True)
    high = np.min(t_s[sure] + slack_s[sure] + _UNEVEN_S - slopes * number, axis=1, keepdims=True)
    kept = (low <= high)[:, 0]
    if not kept.any():  # not a rhythm after all
        return None
    numbers = np.round((t_s - start) / slope)
    first = np.min(low[kept] + slopes[kept] * numbers, axis=0)
    last = np.max(high[kept] + slopes[kept] * numbers, axis=0)
    # An update's own reading still holds; outside of it the rhythm gave it a wrong number.
    first, last = np.maximum(first, t_s - slack_s), np.minimum(last, t_s + slack_s)
    right = first <= last
    return np.where(right, (first + last) / 2, t_s), np.where(right, (last - first) / 2, slack_s)


def energy_at(found: Knots, t_s: float, power_t_s: Floats, power_w: Floats) -> tuple[float, float]:
    """Energy at a moment and how far it may be off, in joules.

    Args:
        found: the counter's updates.
        t_s: the moment.
        power_t_s, power_w: the device's power readings; may be empty.

    Inside one update the energy is divided by the power readings on either side of it: one switch between two
    levels where they differ, else evenly. Before the first and after the last update power carries it on.
    """
    t, energy, slack = _neighbourhood(found, t_s)
    i = int(np.searchsorted(t, t_s))
    if 0 < i < len(t):
        rare = found.period_s is not None and t[i] - t[i - 1] > _RARE * found.period_s
        return _inside(t, energy, slack, i, t_s, power_t_s, power_w, rare=rare)
    anchor = 0 if i == 0 else len(t) - 1
    away_s = t_s - float(t[anchor])
    slopes = np.diff(energy) / np.maximum(np.diff(t), 1e-9)
    span = (min(t_s, t[anchor]) - 0.1, max(t_s, t[anchor]) + 0.1)
    low, high = _power_range(power_t_s, power_w, *span)
    if high is not None and low is not None:
        between = integrate(power_t_s, power_w, min(t_s, t[anchor]), max(t_s, t[anchor]), _SHAPE_GAP_S)
        if between.samples >= _SHAPE_LEAST:
            off_j = between.uncertainty_j + high * float(slack[anchor])
            return float(energy[anchor] + np.sign(away_s) * between.energy_j), off_j
        nearby = power_w[(power_t_s >= span[0]) & (power_t_s <= span[1])]
        slope = float(np.mean(nearby))
    else:
        slope = float(slopes[0] if i == 0 else slopes[-1]) if len(slopes) else 0.0
        low, high = 0.0, 2 * slope
    off = max(high - slope, slope - low) * abs(away_s) + high * float(slack[anchor])
    return float(energy[anchor] + slope * away_s), off


def _power_range(power_t_s: Floats, power_w: Floats, t0_s: float, t1_s: float) -> tuple[float | None, float | None]:
    lo, hi = np.searchsorted(power_t_s, [t0_s, t1_s])
    near = power_w[max(0, lo - 1) : hi + 1]
    return (float(np.min(near)), float(np.max(near))) if len(near) else (None, None)


def _inside(
    t: Floats, energy: Floats, slack: Floats, i: int, t_s: float, power_t_s: Floats, power_w: Floats, *, rare: bool
) -> tuple[float, float]:
    begin, end = float(t[i - 1]), float(t[i])
    length, step_j = max(end - begin, 1e-9), float(energy[i] - energy[i - 1])
    since = t_s - begin
    part_j = step_j * since / length
    low, high = _power_range(power_t_s, power_w, begin, end)
    shaped = _shaped(begin, end, t_s, step_j, power_t_s, power_w) if rare else None
    if shaped is not None:
        part_j, bound_j = shaped
        high = max(high or 0.0, step_j / length)
    elif low is None or high is None or not 0.95 * low * length <= step_j <= 1.05 * high * length:
        high = step_j / length  # no power, or power that contradicts the counter: anything is possible
        bound_j = max(part_j, step_j - part_j)
    else:
        part_j = _one_switch(begin, length, step_j, since, power_t_s, power_w, part_j)
        floor_j = max(low * since, step_j - high * (length - since))
        ceiling_j = min(high * since, step_j - low * (length - since))
        bound_j = max(part_j - floor_j, ceiling_j - part_j, 0.0)
    slack_j = float(max(slack[i - 1], slack[i])) * max(high, step_j / length)
    return float(energy[i - 1]) + part_j, bound_j + slack_j


def _shaped(
    begin: float, end: float, moment: float, step_j: float, power_t_s: Floats, power_w: Floats
) -> tuple[float, float] | None:
    """Divide the energy of a long interval as the power readings in it divide theirs; None where there are too few."""
    head = integrate(power_t_s, power_w, begin, moment, _SHAPE_GAP_S)
    tail = integrate(power_t_s, power_w, moment, end, _SHAPE_GAP_S)
    both_j = head.energy_j + tail.energy_j
    if head.samples + tail.samples < _SHAPE_LEAST or both_j <= 0.0:
        return None
    part_j = step_j * head.energy_j / both_j
    rest_j = step_j - part_j
    reading_j = min(head.uncertainty_j, tail.uncertainty_j) * max(1.0, step_j / both_j)
    # Where counter and power disagree, nothing says on which side of the moment.
    return part_j, reading_j + min(abs(step_j - both_j), 2 * part_j, 2 * rest_j)


def _one_switch(
    begin: float, length: float, step_j: float, since: float, power_t_s: Floats, power_w: Floats, even_j: float
) -> float:
    dense_j = _dense(begin, length, step_j, since, power_t_s, power_w)
    if dense_j is not None:
        return dense_j
    first = power_w[max(0, int(np.searchsorted(power_t_s, begin)) - 1)]
    second = power_w[min(len(power_w) - 1, int(np.searchsorted(power_t_s, begin + length)))]
    if abs(second - first) <= 0.1 * max(first, second):
        return even_j
    switch = (second * length - step_j) / (second - first)  # when the first level must have ended
    if not 0 <= switch <= length:
        return even_j
    return float(first * min(since, switch) + second * max(0.0, since - switch))


def _dense(
    begin: float, length: float, step_j: float, since: float, power_t_s: Floats, power_w: Floats
) -> float | None:
    """Divide an update's energy by its power curve where one side of the moment was read quickly enough."""
    moment, end = begin + since, begin + length
    for t0_s, t1_s, from_end in ((moment, end, True), (begin, moment, False)):
        lo, hi = np.searchsorted(power_t_s, [t0_s, t1_s])
        t = power_t_s[max(0, lo - 1) : hi + 1]
        if len(t) < 2 or t[0] > t0_s + _DENSE_S or t[-1] < t1_s or np.max(np.diff(t[1:]), initial=0.0) > _DENSE_S:
            continue
        # Just before a window's edge nothing was read quickly: its first quick reading speaks for the edge.
        power = power_w[max(0, lo - 1) : hi + 1]
        if t[0] < t0_s - _DENSE_S:
            t, power = t[1:], power[1:]
        grid = np.unique(np.concatenate([[t0_s, t1_s], t[(t > t0_s) & (t < t1_s)]]))
        values = np.interp(grid, t, power)
        piece = float(np.sum(np.diff(grid) * (values[1:] + values[:-1]) / 2))
        return min(max(step_j - piece if from_end else piece, 0.0), step_j)
    return None
