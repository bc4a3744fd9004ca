"""Modelled power where no sensor can be read: CPU by TDP share and CPU time, memory by what the work holds.

Both attribute to the watched process tree. With nothing watched they give the machine's idle share, so that a
baseline can be recorded before a trial. Every figure is a range; the rules behind it are in ``tdp`` and below.
"""

from __future__ import annotations

import time

from greenbench.power import tdp
from greenbench.power.process_tree import ProcessTree
from greenbench.power.samples import MODELLED, DeviceInfo, Sample

# Green Algorithms (Lannelongue et al. 2021) uses 0.3725 W per GB; CodeCarbon 5 W per DIMM, which is
# 0.156 W/GB for modules of 32 GB and 0.625 W/GB for modules of 8 GB.
RAM_W_PER_GB, RAM_LOW_W_PER_GB, RAM_HIGH_W_PER_GB = 0.3725, 0.156, 0.625
_GB = 1e9


class _Accumulator:
    """Sums ``power x time`` between reads into cumulative energies with their range."""

    def __init__(self) -> None:
        self.t_ns: int | None = None
        self.energy_j = self.low_j = self.high_j = 0.0

    def add(self, t_ns: int, power_w: float, low_w: float, high_w: float) -> None:
        if self.t_ns is not None:
            duration_s = (t_ns - self.t_ns) * 1e-9
            self.energy_j += power_w * duration_s
            self.low_j += low_w * duration_s
            self.high_j += high_w * duration_s
        self.t_ns = t_ns


class CpuModelSource:
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
        self._sum = _Accumulator()
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

    def _watts(self, busy: float, per_thread_w: float, idle_share: float) -> float:
        return per_thread_w * (idle_share * self.cpu.threads + (1.0 - idle_share) * busy)

    def read(self) -> list[Sample]:
        """Return the mean power since the last read and the energy so far."""
        before = time.monotonic_ns()
        cpu_s = self.tree.update()
        after = time.monotonic_ns()
        now = (before + after) // 2
        elapsed_s = 0.0 if self._sum.t_ns is None else (now - self._sum.t_ns) * 1e-9
        busy = (cpu_s - self._last_cpu_s) / elapsed_s if elapsed_s > 0 else 0.0
        self._last_cpu_s = cpu_s
        cpu = self.cpu
        power = self._watts(busy, cpu.per_thread_w, tdp.IDLE_SHARE)
        low = self._watts(busy, cpu.per_thread_low_w, tdp.IDLE_SHARE_LOW)
        high = self._watts(busy, cpu.per_thread_high_w, tdp.IDLE_SHARE_HIGH)
        total = self._sum
        total.add(now, power, low, high)
        sample = Sample(now, after - before, "cpu", self.name, MODELLED, power, total.energy_j, low, high)
        sample.energy_low_j, sample.energy_high_j = total.low_j, total.high_j
        sample.util_pct = min(100.0, 100.0 * busy / cpu.threads)
        return [sample]

    def close(self) -> None:
        """Nothing to release."""


class RamModelSource:
    """Memory power per GB held by the watched tree (per GB in use on the machine while nothing is watched)."""

    name = "ram"
    min_period_s = 1.0

    def __init__(self, tree: ProcessTree) -> None:
        self.available = True
        self.reason = (
            f"{RAM_W_PER_GB:g} W per GB held by the watched processes ({RAM_LOW_W_PER_GB:g} to {RAM_HIGH_W_PER_GB:g})"
        )
        self.tree = tree
        self._sum = _Accumulator()
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
        """Return the mean power and the energy so far."""
        before = time.monotonic_ns()
        held = self.tree.resident_bytes() if self.tree.watching else _memory_in_use()
        after = time.monotonic_ns()
        now = (before + after) // 2
        gigabytes = held / _GB
        watts = [gigabytes * factor for factor in (RAM_W_PER_GB, RAM_LOW_W_PER_GB, RAM_HIGH_W_PER_GB)]
        total = self._sum
        total.add(now, *watts)
        sample = Sample(now, after - before, "ram", self.name, MODELLED, watts[0], total.energy_j, watts[1], watts[2])
        sample.energy_low_j, sample.energy_high_j = total.low_j, total.high_j
        return [sample]

    def close(self) -> None:
        """Nothing to release."""


def _memory_in_use() -> int:
    try:
        with open("/proc/meminfo", "rb") as stream:  # noqa: PTH123
            text = stream.read()
        cells = {line.split(b":")[0]: int(line.split()[1]) for line in text.splitlines()[:5] if line.split()[1:]}
        return (cells[b"MemTotal"] - cells[b"MemAvailable"]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        import psutil

        memory = psutil.virtual_memory()
        return int(memory.total - memory.available)
