"""A counter's energy at any moment: what lies between two of its updates is divided by the power readings.

Where a counter's reading is costly, updates are seen seconds apart, and closely only around a window's edge. Every
division comes with how far it may be off. The constants are derived in docs/metering.md, "How a window becomes joules".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenbench.power.journal.counter import Updates, updates_around
from greenbench.power.journal.curve import PowerCurve
from greenbench.power.journal.integrate import integrate

_DENSE_S = 0.012  # readings at least this close describe the power inside one update
_RARE = 2.5  # periods from which on an interval is divided by the power readings in it
_SHAPE_LEAST = 8  # power readings that describe such an interval
_SHAPE_GAP_S = 0.5
_BEYOND_S = 0.1  # of power readings on either side of a stretch that no update closes
_LEVEL = 0.1  # relative difference from which on two power readings are two levels


def energy_at(found: Updates, moment_s: float, power: PowerCurve) -> tuple[float, float]:
    """Energy at a moment and how far it may be off, in joules.

    Inside one update the energy is divided by the power readings on either side of it: one switch between two
    levels where they differ, else evenly. Before the first and after the last update power carries it on.
    """
    t, energy, slack = updates_around(found, moment_s)
    i = int(np.searchsorted(t, moment_s))
    if not 0 < i < len(t):
        return _beyond(t, energy, slack, moment_s, power)
    between = _Interval(
        float(t[i - 1]), float(t[i]), float(energy[i] - energy[i - 1]), float(max(slack[i - 1], slack[i])), power
    )
    rare = found.period_s is not None and between.length_s > _RARE * found.period_s
    part_j, off_j = between.divide(moment_s, rare=rare)
    return float(energy[i - 1]) + part_j, off_j


def _beyond(
    t: np.ndarray, energy: np.ndarray, slack: np.ndarray, moment_s: float, power: PowerCurve
) -> tuple[float, float]:
    """Carry the counter on by power, before its first update or after its last."""
    first = moment_s <= t[0]
    anchor = 0 if first else len(t) - 1
    anchor_s, anchor_j, slack_s = float(t[anchor]), float(energy[anchor]), float(slack[anchor])
    begin_s, end_s = sorted((moment_s, anchor_s))
    away_s = moment_s - anchor_s
    levels = power.range_w(begin_s - _BEYOND_S, end_s + _BEYOND_S)
    if levels is not None:
        low, high = levels
        between = integrate(power.t_s, power.power_w, begin_s, end_s, _SHAPE_GAP_S)
        if between.samples >= _SHAPE_LEAST:
            return anchor_j + float(np.sign(away_s)) * between.energy_j, between.uncertainty_j + high * slack_s
        nearby = power.inside(begin_s - _BEYOND_S, end_s + _BEYOND_S).power_w
        slope = float(np.mean(nearby)) if len(nearby) else (low + high) / 2
    else:
        slopes = np.diff(energy) / np.maximum(np.diff(t), 1e-9)
        slope = float(slopes[0] if first else slopes[-1]) if len(slopes) else 0.0
        low, high = 0.0, 2 * slope
    return anchor_j + slope * away_s, max(high - slope, slope - low) * abs(away_s) + high * slack_s


@dataclass(frozen=True)
class _Interval:
    """What lies between two neighbouring updates: ``step_j`` joules; either update may be ``slack_s`` off."""

    begin_s: float
    end_s: float
    step_j: float
    slack_s: float
    power: PowerCurve

    @property
    def length_s(self) -> float:
        return max(self.end_s - self.begin_s, 1e-9)

    @property
    def mean_w(self) -> float:
        return self.step_j / self.length_s

    def divide(self, moment_s: float, *, rare: bool) -> tuple[float, float]:
        """Joules from the interval's begin to a moment in it, and how far they may be off."""
        levels = self.power.range_w(self.begin_s, self.end_s)
        shaped = self._by_shape(moment_s) if rare else None
        if shaped is not None:
            part_j, off_j = shaped
            high = max(levels[1] if levels else 0.0, self.mean_w)
        elif levels is None or not 0.95 * levels[0] <= self.mean_w <= 1.05 * levels[1]:
            high = self.mean_w  # no power, or power that contradicts the counter: anything is possible
            part_j = self._evenly(moment_s)
            off_j = max(part_j, self.step_j - part_j)
        else:
            low, high = levels
            part_j = self._by_curve(moment_s)
            off_j = self._room(moment_s, part_j, low, high)
        return part_j, off_j + self.slack_s * max(high, self.mean_w)

    def _evenly(self, moment_s: float) -> float:
        return self.step_j * (moment_s - self.begin_s) / self.length_s

    def _room(self, moment_s: float, part_j: float, low_w: float, high_w: float) -> float:
        """How far a part may be off if power stays between two levels on both sides of the moment."""
        since_s, left_s = moment_s - self.begin_s, self.begin_s + self.length_s - moment_s
        least_j = max(low_w * since_s, self.step_j - high_w * left_s)
        most_j = min(high_w * since_s, self.step_j - low_w * left_s)
        return max(part_j - least_j, most_j - part_j, 0.0)

    def _by_shape(self, moment_s: float) -> tuple[float, float] | None:
        """Divide a long interval as the power readings in it divide theirs; None where there are too few."""
        t_s, power_w = self.power.t_s, self.power.power_w
        head = integrate(t_s, power_w, self.begin_s, moment_s, _SHAPE_GAP_S)
        tail = integrate(t_s, power_w, moment_s, self.end_s, _SHAPE_GAP_S)
        both_j = head.energy_j + tail.energy_j
        if head.samples + tail.samples < _SHAPE_LEAST or both_j <= 0.0:
            return None
        part_j = self.step_j * head.energy_j / both_j
        rest_j = self.step_j - part_j
        reading_j = min(head.uncertainty_j, tail.uncertainty_j) * max(1.0, self.step_j / both_j)
        # Where counter and power disagree, nothing says on which side of the moment.
        return part_j, reading_j + min(abs(self.step_j - both_j), 2 * part_j, 2 * rest_j)

    def _by_curve(self, moment_s: float) -> float:
        """Divide by close power readings on one side of the moment, else by one switch between two levels."""
        dense_j = self._by_dense_readings(moment_s)
        if dense_j is not None:
            return dense_j
        around = self.power.around(self.begin_s, self.end_s).power_w
        first, second = float(around[0]), float(around[-1])
        if abs(second - first) <= _LEVEL * max(first, second):
            return self._evenly(moment_s)
        switch_s = (second * self.length_s - self.step_j) / (second - first)  # when the first level must have ended
        if not 0 <= switch_s <= self.length_s:
            return self._evenly(moment_s)
        since_s = moment_s - self.begin_s
        return first * min(since_s, switch_s) + second * max(0.0, since_s - switch_s)

    def _by_dense_readings(self, moment_s: float) -> float | None:
        for begin_s, end_s, from_end in ((moment_s, self.end_s, True), (self.begin_s, moment_s, False)):
            near = self.power.around(begin_s, end_s)
            t, power = near.t_s, near.power_w
            if len(t) < 2 or t[0] > begin_s + _DENSE_S or t[-1] < end_s:
                continue
            if np.max(np.diff(t[1:]), initial=0.0) > _DENSE_S:
                continue
            # Just before a window's edge readings were far apart: its first close reading speaks for the edge.
            if t[0] < begin_s - _DENSE_S:
                t, power = t[1:], power[1:]
            grid = np.unique(np.concatenate([[begin_s, end_s], t[(t > begin_s) & (t < end_s)]]))
            values = np.interp(grid, t, power)
            piece_j = float(np.sum(np.diff(grid) * (values[1:] + values[:-1]) / 2))
            return min(max(self.step_j - piece_j if from_end else piece_j, 0.0), self.step_j)
        return None
