"""Find out what a counter is like before trusting it: its update period, its step, and what one read costs."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable

from greenbench.power.samples import MEASURED, Sample
from greenbench.power.sources.base import Source

_POLL_S = 0.001
_ENOUGH_CHANGES = 6


class _Changes:
    """Moments and sizes of one counter's changes."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.times_ns: list[int] = []
        self.steps_j: list[float] = []
        self.latencies_ns: list[int] = []
        self.kept: list[Sample] = []
        self._previous: Sample | None = None

    def add(self, sample: Sample) -> None:
        self.latencies_ns.append(sample.read_ns)
        if sample.energy_j is not None and self.value is not None and sample.energy_j != self.value:
            self.kept.extend(s for s in (self._previous, sample) if s is not None and s not in self.kept[-1:])
        self._previous = sample
        if sample.energy_j is None:
            return
        if self.value is not None and sample.energy_j > self.value:
            self.times_ns.append(sample.t_mono_ns)
            self.steps_j.append(sample.energy_j - self.value)
        self.value = sample.energy_j

    def period_s(self) -> float | None:
        gaps = [b - a for a, b in itertools.pairwise(self.times_ns)]
        if not gaps:
            return None
        middle = statistics.median(gaps)
        # Readings of a costly counter lie far apart, and each gap is off by that; all of them together hardly are.
        return sum(gaps) / sum(max(1, round(gap / middle)) for gap in gaps) * 1e-9


def probe(sources: Iterable[Source], max_s: float = 0.7, poll_s: float = _POLL_S) -> list[Sample]:
    """Poll every measured counter quickly for a moment and fill in what was learnt about its device.

    Sets ``update_period_s``, ``step_j`` (joules per update at the present load) and ``read_latency_s``. A counter
    that never changed within ``max_s`` keeps None and gets a note. Models and replays are not probed.

    Returns the readings around the changes: they place the counter's rhythm before the first window begins.
    """
    watched = [s for s in sources if s.available and any(d.kind == MEASURED for d in s.devices) and s.name != "replay"]
    changes = {d.device: _Changes() for s in watched for d in s.devices}
    deadline = time.monotonic() + max_s
    while watched and time.monotonic() < deadline:
        for source in watched:
            for sample in source.read_full():
                if sample.device in changes:
                    changes[sample.device].add(sample)
        counters = [changes[d.device] for s in watched for d in s.devices if d.has_counter]
        if all(len(c.times_ns) >= _ENOUGH_CHANGES for c in counters):
            break
        time.sleep(poll_s)
    for source in watched:
        for info in source.devices:
            seen = changes[info.device]
            info.update_period_s = seen.period_s() if info.has_counter else None
            info.step_j = statistics.median(seen.steps_j) if seen.steps_j and info.has_counter else None
            info.read_latency_s = statistics.median(seen.latencies_ns) * 1e-9 if seen.latencies_ns else None
            if info.has_counter and info.update_period_s is None:
                info.notes.append(f"the energy counter did not change twice within {max_s:g} s")
    # Once more, now that its period is known: how often a costly counter is read depends on it.
    last = [sample for source in watched for sample in source.read_full()]
    kept = [sample for seen in changes.values() for sample in seen.kept]
    return sorted([*kept, *last], key=lambda s: s.t_mono_ns)
