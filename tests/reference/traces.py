"""Random loads with exactly known energy, and what a sensor and a counter would have said of them.

The truth is ``tests.reference.energy``: slow, in fractions. The readings are made here one by one, as a driver makes
them: a power reading holds what the load drew at the sensor's last refresh, a counter what it had drawn at its last
update.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from greenbench.power.journal.file import JournalContents, Segment
from greenbench.power.journal.trace import Trace
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.power.samples import DeviceInfo, Sample
from tests.reference.energy import energy

NS = 1_000_000_000
SHAPES = ("constant", "square", "ramp", "sine", "noise", "spikes")
GOLDEN = 0.6180339887498949
_FLANK_S = 1e-4
_PROBED_S = 0.3  # a slower counter does not change twice while the sampler looks at it


@dataclass(frozen=True)
class Case:
    """A load's corners, what reads it, and the window to measure. Times in seconds, powers in watts."""

    shape: str
    t_s: np.ndarray
    power_w: np.ndarray
    refresh_s: float
    update_s: float | None
    phase_s: float
    begin_s: float
    end_s: float

    def exact_j(self) -> float:
        """The window's energy, the slow way."""
        first = max(0, int(np.searchsorted(self.t_s, self.begin_s, side="right")) - 1)
        last = int(np.searchsorted(self.t_s, self.end_s)) + 1
        t_s, power_w = self.t_s[first:last].tolist(), self.power_w[first:last].tolist()
        # Line by line: for all at once the reference looks every corner up among all of them.
        parts = zip(itertools.pairwise(t_s), itertools.pairwise(power_w), strict=True)
        return sum(energy([*t], [*p], max(t[0], self.begin_s), min(t[1], self.end_s)) for t, p in parts)

    def drawn_j(self, moments: np.ndarray) -> np.ndarray:
        """What was drawn up to each moment."""
        steps = np.diff(self.t_s) * (self.power_w[1:] + self.power_w[:-1]) / 2
        before = np.concatenate([[0.0], np.cumsum(steps)])
        i = np.clip(np.searchsorted(self.t_s, moments, side="right") - 1, 0, len(self.t_s) - 2)
        power = np.interp(moments, self.t_s, self.power_w)
        return before[i] + (self.power_w[i] + power) / 2 * (moments - self.t_s[i])


def load(shape: str, seconds: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a random load of one shape, from 0 to ``seconds``."""
    low_w, high_w = np.sort(generator.uniform(20, 700, 2))
    hz = float(np.exp(generator.uniform(np.log(0.1), np.log(8))))
    if shape == "constant":
        return np.array([0.0, seconds]), np.array([high_w, high_w])
    if shape == "ramp":
        t = np.concatenate([[0.0], np.sort(generator.uniform(0, seconds, 4)), [seconds]])
        return t, generator.uniform(low_w, high_w, len(t))
    if shape == "sine":
        t = np.arange(0.0, seconds + 1e-9, 1 / (12 * hz))
        t = np.append(t, seconds)
        return t, (low_w + high_w) / 2 + (high_w - low_w) / 2 * np.sin(2 * np.pi * hz * t)
    if shape == "noise":
        t = np.append(np.arange(0.0, seconds, 0.1), seconds)
        return t, np.clip(generator.normal((low_w + high_w) / 2, (high_w - low_w) / 6, len(t)), 5, 800)
    if shape == "square":
        duty = generator.uniform(0.2, 0.8)
        starts = np.arange(generator.uniform(0, 1 / hz), seconds, 1 / hz)
        return pulses(starts, starts + duty / hz, low_w, high_w, seconds)
    starts = np.sort(generator.uniform(0, seconds, max(1, round(seconds * generator.uniform(0.3, 3)))))
    return pulses(starts, starts + generator.uniform(0.02, 0.3), low_w, high_w, seconds)


def pulses(
    begins: np.ndarray, ends: np.ndarray, low_w: float, high_w: float, seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    corners = [(0.0, low_w)]
    for begin, end in zip(begins, ends, strict=True):
        begin = max(begin, corners[-1][0] + _FLANK_S)
        if end <= begin + 3 * _FLANK_S or end + _FLANK_S >= seconds:
            continue
        corners += [(begin, low_w), (begin + _FLANK_S, high_w), (end, high_w), (end + _FLANK_S, low_w)]
    corners.append((seconds, low_w))
    t, power = np.array(corners).T
    return t, power


def cases(seed: int) -> Iterator[Case]:
    """Endless random cases: every shape, with and without a counter, refreshed every 10 to 1,000 ms."""
    generator = np.random.default_rng(seed)
    for shape, counter in itertools.cycle(itertools.product(SHAPES, (True, False))):
        length_s = float(np.exp(generator.uniform(np.log(1.0), np.log(20.0))))
        begin_s = float(generator.uniform(1.5, 2.5))
        t_s, power_w = load(shape, begin_s + length_s + 2.5, generator)
        refresh_s, update_s = np.exp(generator.uniform(np.log(0.01), np.log(1.0), 2))
        yield Case(
            shape,
            t_s,
            power_w,
            float(refresh_s),
            float(update_s) if counter else None,
            float(generator.uniform(0, 1)),
            begin_s,
            begin_s + length_s,
        )


def measured(case: Case) -> WindowEnergy:
    """The window as greenbench cuts it out of the readings that its sampler would have taken."""
    counter = case.update_s is not None
    tick_s = 0.05 if counter else 0.004
    numbers = np.arange(round(case.t_s[-1] / tick_s) - 1)
    ticks = (numbers + 0.9 * (numbers * GOLDEN % 1.0)) * tick_s
    period_s = case.update_s if case.update_s is not None and case.update_s < _PROBED_S else None
    burst_s = 1.2 * (period_s or 0.1) + 0.02
    bursts = [edge + np.arange(0, burst_s, 0.004) for edge in (case.begin_s, case.end_s)]
    times = np.unique(np.round(np.concatenate([ticks, *bursts]) * 1e6)) * 1e-6
    looked = np.maximum(0.0, np.floor((times + case.phase_s) / case.refresh_s) * case.refresh_s - case.phase_s)
    power_w = np.interp(looked, case.t_s, case.power_w)
    rows = [Sample(round(t * NS), 20_000, "gpu0", "nvml", "measured", w) for t, w in zip(times, power_w, strict=True)]
    if case.update_s is not None:
        updated = np.maximum(0.0, np.floor((times + case.phase_s) / case.update_s) * case.update_s - case.phase_s)
        for row, joules in zip(rows, case.drawn_j(updated), strict=True):
            row.energy_j = round(5000 + joules, 3)
    info = DeviceInfo("gpu0", "nvml", "measured", "gpu", has_counter=counter, update_period_s=period_s, tolerance=0.0)
    info.sample_period_s = tick_s
    segment = Segment(boot_id="boot", samples=rows, devices={"gpu0": info})
    return Trace(JournalContents([segment])).window(round(case.begin_s * NS), round(case.end_s * NS))
