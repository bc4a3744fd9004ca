"""Modelled power where no sensor can be read: CPU by TDP share and CPU time, memory by what the work holds.

Both attribute to the watched process tree. With nothing watched they give the machine's idle share, so that a
baseline can be recorded before a trial. Every figure is a range; the rules behind it are in ``tdp`` and below.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from greenbench.power.samples import MODELLED, DeviceInfo, Sample
from greenbench.power.sources import tdp
from greenbench.power.sources.base import Source
from greenbench.power.sources.proc import read_file
from greenbench.power.sources.process_tree import ProcessTree

# Green Algorithms (Lannelongue et al. 2021) uses 0.3725 W per GB; CodeCarbon 5 W per DIMM, which is
# 0.156 W/GB for modules of 32 GB and 0.625 W/GB for modules of 8 GB.
RAM_W_PER_GB, RAM_LOW_W_PER_GB, RAM_HIGH_W_PER_GB = 0.3725, 0.156, 0.625
_GB = 1e9


class Rates(NamedTuple):
    """Watts of the idle machine, and watts that one busy thread adds."""

    idle_w: float
    busy_w: float

    def power_w(self, busy: float) -> float:
        """With so many threads busy."""
        return self.idle_w + self.busy_w * busy

    def energy_j(self, elapsed_s: float, cpu_s: float) -> float:
        """Of some time in which so many CPU seconds were used."""
        return self.idle_w * elapsed_s + self.busy_w * cpu_s


class CpuModelSource(Source):
    """CPU power from TDP: idle share plus the busy threads of the watched tree.

    ``power = threads x w x (idle + (1 - idle) x busy / threads)`` with ``w`` the TDP per thread and ``busy`` the
    CPU seconds per second of the tree. The low end attributes no idle power, the high end 30 % of TDP.
    """

    name = "cpu"
    min_period_s = 0.0

    def __init__(self, power: tdp.CpuPower, tree: ProcessTree) -> None:
        self.available = True
        self.reason = power.reason
        self.cpu = power
        self.tree = tree
        self._rates = (
            self._rates_at(power.per_thread_w, tdp.IDLE_SHARE),
            self._rates_at(power.per_thread_low_w, tdp.IDLE_SHARE_LOW),
            self._rates_at(power.per_thread_high_w, tdp.IDLE_SHARE_HIGH),
        )
        self._first_ns: int | None = None
        self._first_cpu_s = 0.0
        self._last_ns = 0
        self._last_cpu_s = 0.0
        self.devices = [
            DeviceInfo(
                device="cpu",
                source=self.name,
                kind=MODELLED,
                part="cpu",
                has_counter=True,
                power_from="model",
                step_j=power.per_thread_w * tree.tick_s,
                notes=[power.reason, "attributed to the watched processes by their CPU time"],
                details={"model": power.model, "threads": power.threads, "per_thread_w": power.per_thread_w},
            )
        ]

    def _rates_at(self, per_thread_w: float, idle_share: float) -> Rates:
        return Rates(per_thread_w * idle_share * self.cpu.threads, per_thread_w * (1.0 - idle_share))

    def read(self) -> list[Sample]:
        """The mean power since the last read and the energy so far."""
        before_ns = time.monotonic_ns()
        cpu_s = self.tree.update()
        after_ns = time.monotonic_ns()
        now_ns = (before_ns + after_ns) // 2
        if self._first_ns is None:
            self._first_ns, self._first_cpu_s = now_ns, cpu_s
            self._last_ns, self._last_cpu_s = now_ns, cpu_s
        elapsed_s, gained_s = (now_ns - self._last_ns) * 1e-9, cpu_s - self._last_cpu_s
        # What was used before it could be seen is not this moment's power, see ``late_share``.
        late = self.tree.take_late()
        late_s = min(late.cpu_s, gained_s)
        busy = min((gained_s - late_s) / elapsed_s, float(self.cpu.threads)) if elapsed_s > 0 else 0.0
        self._last_ns, self._last_cpu_s = now_ns, cpu_s
        sample = Sample(now_ns, after_ns - before_ns, "cpu", self.name, MODELLED)
        middle, low, high = self._rates
        sample.power_w, sample.power_low_w, sample.power_high_w = (r.power_w(busy) for r in (middle, low, high))
        since_s, used_s = (now_ns - self._first_ns) * 1e-9, cpu_s - self._first_cpu_s
        sample.energy_j, sample.energy_low_j, sample.energy_high_j = (
            r.energy_j(since_s, used_s) for r in (middle, low, high)
        )
        if late_s > 0.0:
            sample.late_share = middle.energy_j(0.0, late_s) / middle.energy_j(elapsed_s, gained_s)
            sample.late_since_ns = min(round(late.since_s * 1e9), now_ns)
        sample.util_pct = 100.0 * busy / self.cpu.threads
        return [sample]

    def close(self) -> None:
        """Nothing to release."""


class RamModelSource(Source):
    """Memory power per GB held by the watched tree (per GB in use on the machine while nothing is watched)."""

    name = "ram"
    min_period_s = 0.8

    def __init__(self, tree: ProcessTree) -> None:
        self.available = True
        self.reason = (
            f"{RAM_W_PER_GB:g} W per GB held by the watched processes ({RAM_LOW_W_PER_GB:g} to {RAM_HIGH_W_PER_GB:g})"
        )
        self.tree = tree
        self._last_ns: int | None = None
        self._energies_j = [0.0, 0.0, 0.0]
        self.devices = [
            DeviceInfo(
                device="ram",
                source=self.name,
                kind=MODELLED,
                part="dram",
                has_counter=True,
                power_from="model",
                notes=[self.reason],
            )
        ]

    def read(self) -> list[Sample]:
        """The mean power and the energy so far."""
        before = time.monotonic_ns()
        held = self.tree.resident_bytes() if self.tree.watching else _memory_in_use()
        after = time.monotonic_ns()
        now = (before + after) // 2
        gigabytes = held / _GB
        watts = [gigabytes * factor for factor in (RAM_W_PER_GB, RAM_LOW_W_PER_GB, RAM_HIGH_W_PER_GB)]
        elapsed_s = 0.0 if self._last_ns is None else (now - self._last_ns) * 1e-9
        self._last_ns = now
        energies = self._energies_j = [sum_j + w * elapsed_s for sum_j, w in zip(self._energies_j, watts, strict=True)]
        sample = Sample(now, after - before, "ram", self.name, MODELLED, watts[0], energies[0], watts[1], watts[2])
        sample.energy_low_j, sample.energy_high_j = energies[1:]
        return [sample]

    def close(self) -> None:
        """Nothing to release."""


def _memory_in_use() -> int:
    try:
        text = read_file("/proc/meminfo")
        cells = {line.split(b":")[0]: int(line.split()[1]) for line in text.splitlines()[:5] if line.split()[1:]}
        return (cells[b"MemTotal"] - cells[b"MemAvailable"]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        import psutil

        memory = psutil.virtual_memory()
        return int(memory.total - memory.available)
