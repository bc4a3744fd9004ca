"""One device in one segment as clean arrays, with a count of everything that was thrown away or repaired."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from greenbench.power.journal.counter import Updates, place_updates
from greenbench.power.journal.curve import Curve, Floats
from greenbench.power.samples import DeviceInfo, Sample


@dataclass
class DeviceReadings:
    """Readings of one device; times in seconds since the segment's origin.

    ``t_s, power_w`` are the usable power readings, ``counter`` the placed energy counter (None where there is
    none), ``low``/``high`` the cumulative range of a model. ``counts`` names what was repaired or dropped;
    ``lost_s`` and ``reset_s`` are the moments at which the device was lost or its counter began anew.
    """

    info: DeviceInfo
    all_t_s: Floats
    t_s: Floats
    power_w: Floats
    counter: Updates | None
    low: Curve | None
    high: Curve | None
    energy: Curve | None
    samples: list[Sample]
    sample_t_s: Floats
    spacing_s: float
    counts: Counter[str] = field(default_factory=Counter)
    lost_s: list[float] = field(default_factory=list)
    bad_s: list[float] = field(default_factory=list)
    resets: list[tuple[float, float]] = field(default_factory=list)

    @property
    def max_gap_s(self) -> float:
        """Distance between readings beyond which something was missed."""
        return max(0.5, 5 * max(self.spacing_s, self.info.sample_period_s or 0.0))


def increasing(times: list[int]) -> list[int]:
    """The indices of the longest strictly increasing subsequence: a clock jump loses the fewest readings."""
    tails: list[int] = []
    tail_index: list[int] = []
    previous = [-1] * len(times)
    for i, value in enumerate(times):
        position = bisect.bisect_left(tails, value)
        previous[i] = tail_index[position - 1] if position else -1
        if position == len(tails):
            tails.append(value)
            tail_index.append(i)
        else:
            tails[position], tail_index[position] = value, i
    kept: list[int] = []
    i = tail_index[-1] if tail_index else -1
    while i >= 0:
        kept.append(i)
        i = previous[i]
    return kept[::-1]


def _usable(value: float | None, counts: Counter[str], *, signed: bool = False) -> bool:
    if value is None:
        return False
    if math.isnan(value):
        counts["nan"] += 1
        return False
    if math.isinf(value) or (value < 0 and not signed):
        counts["impossible values"] += 1
        return False
    return True


def _ordered(samples: list[Sample], origin_ns: int, counts: Counter[str], bad_s: list[float]) -> list[Sample]:
    times = [s.t_mono_ns for s in samples]
    if all(a < b for a, b in itertools.pairwise(times)):
        return samples
    kept_indices = increasing(times)
    kept_set = set(kept_indices)
    seen = {times[i] for i in kept_indices}
    for i, t in enumerate(times):
        if i in kept_set:
            continue
        counts["duplicates" if t in seen else "clock jumps"] += 1
        if t not in seen:
            bad_s.append((t - origin_ns) * 1e-9)
            # A jump shows in the neighbours too: the window around the jump is what is in doubt.
            bad_s.append((times[max(0, i - 1)] - origin_ns) * 1e-9)
    return [samples[i] for i in kept_indices]


def clean(info: DeviceInfo, samples: list[Sample], origin_ns: int) -> DeviceReadings:
    """Clean the readings of one device of one segment."""
    counts: Counter[str] = Counter()
    bad_s: list[float] = []
    rows = _ordered(samples, origin_ns, counts, bad_s)
    times = np.array([(s.t_mono_ns - origin_ns) * 1e-9 for s in rows])
    lost = [float(t) for t, s in zip(times, rows, strict=True) if s.event == "lost"]
    for sample in rows:
        if sample.event in ("lost", "wrap"):
            counts[{"lost": "losses", "wrap": "wraps"}[sample.event]] += 1
    has_power = np.array([_usable(s.power_w, counts) for s in rows], dtype=bool)
    has_energy = np.array([_usable(s.energy_j, counts, signed=True) for s in rows], dtype=bool)
    power = np.array([s.power_w for s, ok in zip(rows, has_power, strict=True) if ok], dtype=float)
    energy_t = times[has_energy] if len(times) else times
    energy = np.array([s.energy_j for s, ok in zip(rows, has_energy, strict=True) if ok], dtype=float)
    answered = times[has_power | has_energy] if len(times) else times
    spacing = float(np.median(np.diff(answered))) if len(answered) > 1 else 0.05
    readings = DeviceReadings(
        info=info,
        all_t_s=answered,
        t_s=times[has_power] if len(times) else times,
        power_w=power,
        counter=None,
        low=_cumulative(rows, times, "energy_low_j"),
        high=_cumulative(rows, times, "energy_high_j"),
        energy=(energy_t, energy) if len(energy) else None,
        samples=rows,
        sample_t_s=times,
        spacing_s=spacing,
        counts=counts,
        lost_s=lost,
        bad_s=bad_s,
    )
    if len(energy) > 1 and info.power_from != "model":
        _place_counter(readings, energy_t, energy, times)
    return readings


def _place_counter(readings: DeviceReadings, energy_t: Floats, energy: Floats, times: Floats) -> None:
    info = readings.info
    readings.counter = place_updates(energy_t, energy, info.update_period_s, info.wrap_j)
    readings.resets = list(readings.counter.resets)
    for i, sample in enumerate(readings.samples):
        before = float(times[i - 1]) if i else float(times[i])
        if sample.event == "reset" and not any(a <= times[i] <= b for a, b in readings.resets):
            readings.resets.append((before, float(times[i])))
    readings.counts["resets"] += len(readings.resets)
    readings.counts["backward steps"] += readings.counter.backward
    readings.counts["wraps"] += readings.counter.wraps
    for name in ("resets", "backward steps", "wraps"):
        if not readings.counts[name]:
            del readings.counts[name]


def _cumulative(rows: list[Sample], times: Floats, name: str) -> Curve | None:
    values = [getattr(s, name) for s in rows]
    keep = [i for i, v in enumerate(values) if v is not None and not math.isnan(v)]
    if len(keep) < 2:
        return None
    return times[keep], np.array([values[i] for i in keep], dtype=float)
