"""One device in one segment as clean arrays, with a count of everything that was thrown away or repaired."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from greenbench.power.journal.counter import Updates, place_updates
from greenbench.power.journal.curve import Curve, Floats, PowerCurve
from greenbench.power.journal.unwrap import JUMP, RESET, STUCK, Break, standstills, unwrap
from greenbench.power.plausible import impossible_power
from greenbench.power.samples import DeviceInfo, Sample


@dataclass
class DeviceReadings:
    """Readings of one device; times in seconds since the segment's origin.

    ``t_s, power_w`` are the usable power readings, ``counter`` the placed energy counter (None where there is
    none), ``low``/``high`` the cumulative range of a model. ``counts`` names what was repaired or dropped; ``lost_s``
    are the moments at which the device was lost, ``refused`` the readings that cannot be true and why, ``breaks`` the
    intervals of which the counter says nothing.
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
    refused: list[tuple[float, str]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)

    @property
    def power(self) -> PowerCurve:
        """The usable power readings."""
        return PowerCurve(self.t_s, self.power_w)

    @property
    def drawn(self) -> Curve:
        """Cumulative energy over time: its mean over any interval is the mean power."""
        if self.info.power_from == "model" and self.energy is not None:
            return self.energy
        if len(self.t_s) > 1:
            steps = np.diff(self.t_s) * (self.power_w[1:] + self.power_w[:-1]) / 2
            return self.t_s, np.concatenate([[0.0], np.cumsum(steps)])
        if self.counter is not None:
            return self.counter.t_s, self.counter.energy_j
        return self.all_t_s[:0], self.all_t_s[:0]

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
    times = np.array([(s.t_mono_ns - origin_ns) * 1e-9 for s in rows], dtype=float)
    for sample in rows:
        if sample.event in ("lost", "wrap"):
            counts[{"lost": "losses", "wrap": "wraps"}[sample.event]] += 1
    refused: list[tuple[float, str]] = []
    has_power, has_energy = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for i, sample in enumerate(rows):
        why = "" if sample.power_w is None else impossible_power(info, sample.power_w)
        if not why and sample.energy_j is not None and not math.isfinite(sample.energy_j):
            why = f"{sample.energy_j:g} J"
        if why:
            counts["nan" if why.startswith("nan") else "impossible values"] += 1
            refused.append((float(times[i]), why))
        has_power[i] = sample.power_w is not None and not impossible_power(info, sample.power_w)
        has_energy[i] = sample.energy_j is not None and math.isfinite(sample.energy_j)
    answered = times[has_power | has_energy]
    readings = DeviceReadings(
        info=info,
        all_t_s=answered,
        t_s=times[has_power],
        power_w=np.array([s.power_w for s, ok in zip(rows, has_power, strict=True) if ok], dtype=float),
        counter=None,
        low=_cumulative(rows, times, "energy_low_j"),
        high=_cumulative(rows, times, "energy_high_j"),
        energy=_cumulative(rows, times, "energy_j", least=1),
        samples=rows,
        sample_t_s=times,
        spacing_s=float(np.median(np.diff(answered))) if len(answered) > 1 else 0.05,
        counts=counts,
        lost_s=[float(t) for t, s in zip(times, rows, strict=True) if s.event == "lost"],
        bad_s=bad_s,
        refused=refused,
    )
    if info.power_from == "model":
        for curve in (readings.energy, readings.low, readings.high):
            _spread_late(curve, rows, origin_ns)
    elif readings.energy is not None and len(readings.energy[0]) > 1:
        _place_counter(readings, readings.energy)
    return readings


def _place_counter(readings: DeviceReadings, raw: Curve) -> None:
    info, (t_s, energy_j) = readings.info, raw
    unwrapped = unwrap(energy_j, t_s, info)
    breaks = list(unwrapped.breaks)
    times = readings.sample_t_s
    for i, sample in enumerate(readings.samples):
        before = float(times[i - 1]) if i else float(times[i])
        if sample.event == RESET and not any(b.begin_s <= times[i] <= b.end_s for b in breaks):
            breaks.append(Break(before, float(times[i]), RESET))
    power = readings.power if info.power_from != "counter" else PowerCurve(t_s[:0], t_s[:0])
    still = standstills(unwrapped.energy_j, t_s, info, power)
    held = [(b.begin_s, b.end_s) for b in still]
    readings.counter = place_updates(t_s, unwrapped.energy_j, info.update_period_s, held)
    breaks += still
    readings.breaks = sorted(breaks, key=lambda b: b.begin_s)
    found = Counter({f"{kind}s": sum(b.kind == kind for b in breaks) for kind in (RESET, JUMP)})
    found["standstills"] = sum(b.kind == STUCK for b in breaks)
    found["backward steps"], found["wraps"] = unwrapped.backward, unwrapped.wraps
    readings.counts.update({name: number for name, number in found.items() if number})


def _spread_late(curve: Curve | None, rows: list[Sample], origin_ns: int) -> None:
    """Give what a model found out late to the time in which it was used."""
    if curve is None:
        return
    t_s, energy_j = curve
    for row in rows:
        if not row.late_share or row.late_since_ns is None:
            continue
        now_s, since_s = (row.t_mono_ns - origin_ns) * 1e-9, (row.late_since_ns - origin_ns) * 1e-9
        i = int(np.searchsorted(t_s, now_s))
        since_s = max(since_s, float(t_s[0]))
        if not 0 < i < len(t_s) or now_s <= since_s:
            continue
        late_j = row.late_share * (energy_j[i] - energy_j[i - 1])
        energy_j[:i] += late_j * np.clip((t_s[:i] - since_s) / (now_s - since_s), 0.0, 1.0)


def _cumulative(rows: list[Sample], times: Floats, name: str, *, least: int = 2) -> Curve | None:
    values = [getattr(s, name) for s in rows]
    keep = [i for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    if len(keep) < least:
        return None
    return times[keep], np.array([values[i] for i in keep], dtype=float)
