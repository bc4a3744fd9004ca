"""Readings between two flushes: what every device can say shortly, in one loop as small as it can be.

A processor that slept for 50 ms has nothing of the sampler left in its caches. A reading then costs what its code
and data occupy, not what it computes. So a value is noted with its times, and records are made of a few at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from greenbench.power.journal.file import JournalWriter
from greenbench.power.sampler.live import LiveWriter
from greenbench.power.sampler.ticks import Ticks
from greenbench.power.sampler.totals import Totals
from greenbench.power.samples import Sample
from greenbench.power.sources.base import LATE_NS, Source

# Readings until they are made into records and the live cell, whose readers extrapolate: twice in a flush at 20 Hz,
# and more often while something has just begun and its power is not yet known.
_SETTLE_EVERY = 9
_SETTLE_EARLY = 3
_EARLY_NS = 3_000_000_000
_S_PER_NS = 1e-9


_Raw = tuple[Callable[[int, int, Any], Sample], int, int, Any]


class QuickReader:
    """Reads again and again until a command comes, the time is up or a device needs a full look."""

    def __init__(
        self,
        sources: list[Source],
        journal: JournalWriter,
        live: LiveWriter,
        totals: Totals,
        wait: Callable[[float], object],
    ) -> None:
        self.stop = False
        self.begun_ns = 0
        self._sources = sources
        self._journal = journal
        self._live = live
        self._totals = totals
        self._wait = wait

    def run(self, ticks: Ticks, until_ns: int) -> None:
        """Read at every tick before ``until_ns``; nothing where only full readings do."""
        found = [source.quick() for source in self._sources]
        quicks = [(quick.value, quick.sample) for of_source in found if of_source is not None for quick in of_source]
        if None in found or not quicks:
            return
        raw: list[_Raw] = []
        wait, monotonic_ns = self._wait, time.monotonic_ns
        early = monotonic_ns() - self.begun_ns < _EARLY_NS
        count, settle_every = 0, _SETTLE_EARLY if early else _SETTLE_EVERY
        try:
            for at_ns in ticks.between(monotonic_ns(), until_ns):
                left_ns = at_ns - monotonic_ns()
                if left_ns <= 0:  # late: what was missed is not made up for
                    continue
                if wait(left_ns * _S_PER_NS) or self.stop:
                    break
                for read, sample in quicks:
                    before_ns = monotonic_ns()
                    value = read()
                    after_ns = monotonic_ns()
                    if after_ns - before_ns > LATE_NS:  # it does not say when it was true
                        return
                    raw.append((sample, before_ns, after_ns, value))
                count += 1
                if count % settle_every == 0:
                    self._settle(raw)
        except OSError:  # a process has ended, a card does not answer: the full reading that follows tells
            pass
        finally:
            self._settle(raw)

    def _settle(self, raw: list[_Raw]) -> None:
        """Make records of what was read and publish the total."""
        if not raw:
            return
        for sample, before_ns, after_ns, value in raw:
            reading = sample(before_ns, after_ns, value)
            self._journal.sample(reading)
            self._totals.add(reading)
        raw.clear()
        t_ns = time.monotonic_ns()
        self._live.write(t_ns, *self._totals.now(t_ns))
