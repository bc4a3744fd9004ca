"""An energy counter's updates, placed in time.

A counter that updates every 100 ms tells how much, but only roughly when: a change seen at one reading happened
at some moment since the previous one. Where updates come in a regular rhythm, which is checked, the rhythm is
fitted over neighbouring updates and places each of them within milliseconds. What lies between two updates is the
subject of ``between``; the constants are derived in docs/metering.md, "How a window becomes joules".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greenbench.power.journal.curve import Floats

_FIT_HALF_WIDTH = 20  # updates on either side that share one fit of the rhythm
_FIT_LEAST = 8  # updates that must be placed closely before a rhythm is believed
_UNEVEN_S = 0.002  # how far a driver's update may stray from its rhythm
_SLOPES = 65  # slopes tried between the steepest and the flattest
_STRAY = 0.03  # how far neighbouring updates may be from one period apart, as a share of it
_CONTRADICTED = 0.1  # share of neighbours that are not one period apart from which on there is no rhythm
_STRETCH = 8  # periods without a sighting after which updates can no longer be counted through


@dataclass
class Updates:
    """Moments ``t_s`` at which the counter held exactly ``energy_j``; ``slack_s`` is how far a moment may be off."""

    t_s: Floats
    energy_j: Floats
    slack_s: Floats
    period_s: float | None = None


def place_updates(
    t_s: Floats, total: Floats, period_s: float | None, still: Sequence[tuple[float, float]] = ()
) -> Updates:
    """Place the counter's updates in time.

    Args:
        t_s: reading times, strictly increasing.
        total: the cumulative counter at these times (see ``unwrap``).
        period_s: the counter's update period as probed; None if unknown.
        still: intervals over which the counter must stay what it is, because something else says what was drawn.
    """
    updates = _placed(t_s, total, period_s)
    if not still:
        return updates
    held = np.unique(np.array(still).ravel())
    slack = np.concatenate([updates.slack_s, np.full(len(held), 0.5 * (period_s or 0.0))])
    both = np.concatenate([updates.t_s, held])
    order = np.argsort(both, kind="stable")
    energy = np.concatenate([updates.energy_j, np.interp(held, t_s, total)])[order]
    return Updates(
        both[order], np.maximum.accumulate(energy), np.concatenate([updates.slack_s, slack])[order], period_s
    )


def _placed(t_s: Floats, total: Floats, period_s: float | None) -> Updates:
    changed = np.flatnonzero(np.diff(total) > 0) + 1
    if len(changed) == 0:
        both = np.array([t_s[0], t_s[-1]])
        return Updates(both, total[[0, -1]], np.zeros(2), period_s)
    gap = t_s[changed] - t_s[changed - 1]
    # Several updates may fall between two readings: only the last matters, and it is one period old at most.
    width = gap if period_s is None else np.minimum(gap, period_s)
    t = t_s[changed] - width / 2
    slack = width / 2
    if period_s is not None and len(changed) > 1:
        t, slack = _one_period_apart(t, slack, t_s, changed, period_s)
    return Updates(t, total[changed], slack, period_s)


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


def updates_around(found: Updates, t_s: float) -> tuple[Floats, Floats, Floats]:
    """``(t_s, energy_j, slack_s)`` of the updates around a moment, placed by their rhythm if they have one."""
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
