"""Readings where no sensor is read: the CPU clocks of the watched processes, in one loop as small as it can be.

A processor that slept for 50 ms has nothing of the sampler left in its caches. A reading then costs what its code
and data occupy, not what it computes. So it is noted here as three numbers; records are made of them before the
journal is flushed, all at once and from warm caches.
"""

from __future__ import annotations

import select
import time

from greenbench.power.accumulate import Totals
from greenbench.power.live import LiveWriter
from greenbench.power.process_tree import ProcessTree
from greenbench.power.samples import MODELLED, Sample
from greenbench.power.sources import Source
from greenbench.power.sources.models import CpuModelSource, RamModelSource
from greenbench.power.ticks import Ticks

_PUBLISH_EVERY = 4  # readings to a write of the live cell, whose readers extrapolate by the power it holds
_S_PER_NS = 1e-9
_MS_PER_NS = 1e-6


class QuickReader:
    """Reads the CPU model again and again until a command comes, the time is up or the tree needs a full look."""

    def __init__(self, source: CpuModelSource, tree: ProcessTree, live: LiveWriter, commands: int) -> None:
        self.source = source
        self.tree = tree
        self.live = live
        self.stop = False
        self._poller = select.poll()
        self._poller.register(commands, select.POLLIN)

    def run(self, ticks: Ticks, until_ns: int, totals: Totals) -> list[Sample]:
        """Return the readings before ``until_ns``, to be added to ``totals`` by the caller.

        There are none where clocks alone do not tell the tree's CPU time: the caller must take a full reading.
        """
        followed = self.tree.clocks()
        source = self.source
        start_ns, start_cpu_s = source.last_ns, source.last_cpu_s
        energy_j, power_w, _, low_j, high_j = totals.now(start_ns)
        if followed is None or energy_j is None or power_w is None or low_j is None or high_j is None:
            return []
        clocks, base_s = followed
        rates, rates_low, rates_high = source.rates
        others_w = power_w - source.last_power_w
        published_ns, published_cpu_s = start_ns, start_cpu_s
        seen_ns = [0] * len(clocks)
        raw: list[tuple[int, int, float]] = []
        poll, monotonic_ns, clock_ns = self._poller.poll, time.monotonic_ns, time.clock_gettime_ns
        try:
            for at_ns in ticks.between(monotonic_ns(), until_ns):
                left_ns = at_ns - monotonic_ns()
                if left_ns <= 0:  # late: what was missed is not made up for
                    continue
                if poll(left_ns * _MS_PER_NS) or self.stop:
                    break
                before_ns = monotonic_ns()
                sum_ns = 0
                for index, clock in enumerate(clocks):
                    seen_ns[index] = own_ns = clock_ns(clock)
                    sum_ns += own_ns
                now_ns = monotonic_ns()
                cpu_s = base_s + sum_ns * _S_PER_NS
                raw.append((before_ns, now_ns, cpu_s))
                if len(raw) % _PUBLISH_EVERY:
                    continue
                elapsed_s, used_s = (now_ns - start_ns) * _S_PER_NS, cpu_s - start_cpu_s
                busy = source.busy(cpu_s - published_cpu_s, (now_ns - published_ns) * _S_PER_NS)
                published_ns, published_cpu_s = now_ns, cpu_s
                self.live.write(
                    now_ns,
                    energy_j + (others_w + rates.idle_w) * elapsed_s + rates.busy_w * used_s,
                    others_w + rates.idle_w + rates.busy_w * busy,
                    MODELLED,
                    low_j + rates_low.idle_w * elapsed_s + rates_low.busy_w * used_s,
                    high_j + rates_high.idle_w * elapsed_s + rates_high.busy_w * used_s,
                )
        except OSError:  # a process has ended: the full reading that follows settles what it had used
            pass
        if raw:
            self.tree.saw(seen_ns, raw[-1][2])
        return [source.sample((before + after) // 2, after - before, cpu_s) for before, after, cpu_s in raw]


def quick_reader(sources: list[Source], tree: ProcessTree, live: LiveWriter, commands: int) -> QuickReader | None:
    """Return a reader where the CPU model is all there is to read at every tick, or None."""
    cpu = [source for source in sources if isinstance(source, CpuModelSource)]
    slow = [source for source in sources if isinstance(source, RamModelSource)]
    if len(cpu) != 1 or len(cpu) + len(slow) != len(sources) or not hasattr(select, "poll"):
        return None
    return QuickReader(cpu[0], tree, live, commands)
