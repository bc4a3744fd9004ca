"""One NVIDIA GPU: what of it can be read, how often, and what was last seen.

The counter (millijoules since the driver was loaded; Volta and newer) is the figure. Power comes from the field
values 186 (instant) and 185 (average): ``nvmlDeviceGetPowerUsage`` is a one-second average on Ampere (except
GA100) and newer. Average power, temperature, clocks, throttle reasons and foreign processes are read about every
second and a half.

What a counter reading costs differs by a factor of a thousand: 5 ms of CPU time on an H100 with driver 580, where every
other call takes less than 0.1 ms. So it is timed, and a costly counter is read rarely, with power in between.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from greenbench.power.plausible import LIMITS_W
from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import read_promptly
from greenbench.power.sources.cuda_visible import Gpu
from greenbench.power.sources.nvml_list import ask
from greenbench.power.sources.process_tree import ProcessTree

TOLERANCE = 0.05
TOLERANCE_SOURCE = "NVIDIA NVML reference: power within 5 % of the current draw"
_FIELD_AVERAGE, _FIELD_INSTANT = 185, 186
_MODULE = 1
_SCOPES = {0: "gpu", _MODULE: "module"}
_SLOW_PERIOD_NS = 1_500_000_000
_SLOW_AT_EDGES_NS = 200_000_000  # a short window has no other readings of temperature, throttling and neighbours
_RETRY_LOST_NS = 1_000_000_000
COUNTER_SHARE = 0.0005  # of a core, for the counter of one card
_EVERY_TICK_S = 0.1  # a counter that may be read this often for that share is read at every tick
_RARELY_S = 30.0
_UNPLACED_S = 1.0  # a counter whose updates were not found out cannot be placed by a reading long after the last
_TIMED = 31  # readings whose median is what one costs; the probe before the first window takes more
# nvml.h, nvmlClocksEventReasons; idle and application clocks are not throttling.
_REASONS = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
}


class NvmlCard:
    """One GPU: what it supports and what was last seen."""

    def __init__(self, nvml: Any, gpu: Gpu, *, shared: bool) -> None:
        self.nvml = nvml
        self.handle = ask(nvml, "nvmlDeviceGetHandleByUUID", gpu.uuid) or nvml.nvmlDeviceGetHandleByIndex(gpu.index)
        self.has_counter = self._ask("nvmlDeviceGetTotalEnergyConsumption") is not None
        self.scope = next((scope for scope in _SCOPES if self._field_w(_FIELD_INSTANT, scope) is not None), None)
        self.has_usage = self.scope is None and self._ask("nvmlDeviceGetPowerUsage") is not None
        self.counter_costs_s: list[float] = []
        self.counter_every_s = 0.0  # between two readings of the counter; 0 where it may be read at every tick
        self.counter_at_ns = 0
        self.last_energy_j: float | None = None
        self.lost_since_ns: int | None = None
        self.slow_at_ns = 0
        self.info = self._info(gpu, shared=shared)

    def _ask(self, function: str, *arguments: Any) -> Any:
        return ask(self.nvml, function, self.handle, *arguments)

    def _field_w(self, field: int, scope: int) -> float | None:
        values = self._ask("nvmlDeviceGetFieldValues", [(field, scope)])
        return values[0].value.uiVal * 1e-3 if values and values[0].nvmlReturn == 0 else None

    @property
    def has_power(self) -> bool:
        """Whether the card says its power."""
        return self.scope is not None or self.has_usage

    def _info(self, gpu: Gpu, *, shared: bool) -> DeviceInfo:
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        details = {
            "name": gpu.name,
            "uuid": gpu.uuid,
            "pci_bus_id": gpu.pci_bus_id,
            "index": gpu.index,
            "power_limit_w": None if limit is None else limit * 1e-3,
            "persistence": self._ask("nvmlDeviceGetPersistenceMode"),
            "mig": gpu.mig_enabled,
            "power_scope": _SCOPES.get(self.scope) if self.scope is not None else None,
        }
        info = DeviceInfo(
            device=f"gpu{gpu.index}",
            source="nvml",
            kind=MEASURED,
            part="gpu",
            has_counter=self.has_counter,
            power_from="instant" if self.scope is not None else "average_1s",
            tolerance=TOLERANCE,
            tolerance_source=TOLERANCE_SOURCE,
            shared=shared,
            limit_w=self._limit_w(limit),
            details=details,
        )
        if self.scope == 1:
            info.notes.append("power is the module's: it includes the CPU beside the GPU")
        if not self.has_counter and self.has_power:
            info.notes.append("no energy counter (older than Volta): joules are integrated power")
        if not self.has_counter and not self.has_power:
            info.missing = self._why_nothing()
        if details["persistence"] == 0:
            info.notes.append("persistence mode is off: the first reads may wake the driver (nvidia-smi -pm 1)")
        return info

    def _limit_w(self, enforced_mw: int | None) -> float | None:
        """Twice the highest limit that the card can be set to: what no excess of a moment reaches."""
        if self.scope == _MODULE:
            return None
        constraints = self._ask("nvmlDeviceGetPowerManagementLimitConstraints") or ()
        limits_mw = [*constraints[-1:], self._ask("nvmlDeviceGetPowerManagementDefaultLimit"), enforced_mw]
        sane_w = [mw * 1e-3 for mw in limits_mw if isinstance(mw, int) and 0 < mw * 1e-3 < LIMITS_W["gpu"]]
        return 2 * max(sane_w) if sane_w else None

    def _why_nothing(self) -> str:
        try:
            self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        except self.nvml.NVMLError as error:
            return (
                f"neither an energy counter nor a power reading ({error}): a virtual GPU, WSL2 and some boards have no "
                "sensor that NVML shows, and a container may lack the permission; leave the card out with --devices, "
                "or measure where the driver lies"
            )
        return "neither an energy counter nor a power reading"

    def read(self, tree: ProcessTree | None, *, full: bool) -> Sample | None:
        """Read the card once; None while it is lost and not due for another try, or cannot be read at all."""
        before = middle = time.monotonic_ns()
        if self.info.missing:
            return None
        if self.lost_since_ns is not None and before - self.lost_since_ns < _RETRY_LOST_NS:
            return None
        back = self.lost_since_ns is not None
        counts = self.has_counter and (full or back or before - self.counter_at_ns >= self.counter_every_s * 1e9)
        millijoules = trouble = None
        if counts:
            try:
                millijoules, before, middle = self._read_counter()
            except self.nvml.NVMLError as error:
                trouble = error
        power_w = self._power_w()
        if millijoules is None and power_w is None and (counts or not self.has_counter):
            return self._failed(before, trouble)
        after = time.monotonic_ns()
        # The stamp belongs to the counter where it was read: its edges decide the window.
        sample = self._sample(before, after if millijoules is None else middle, millijoules, power_w)
        sample.read_ns = after - before
        self.lost_since_ns = None
        if before - self.slow_at_ns >= (_SLOW_AT_EDGES_NS if full else _SLOW_PERIOD_NS):
            self.slow_at_ns = before
            self._read_slow(sample, tree)
        return sample

    def _sample(self, before_ns: int, after_ns: int, millijoules: int | None, power_w: float | None) -> Sample:
        now_ns = (before_ns + after_ns) // 2
        sample = Sample(now_ns, after_ns - before_ns, self.info.device, "nvml", MEASURED, power_w)
        if millijoules is not None:
            sample.energy_j = energy_j = millijoules * 1e-3
            if self.last_energy_j is not None and energy_j < self.last_energy_j:
                sample.event = "reset"
            self.last_energy_j = energy_j
        return sample

    def _millijoules(self) -> int:
        return int(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))

    def _read_counter(self) -> tuple[int, int, int]:
        self.counter_at_ns = time.monotonic_ns()
        if len(self.counter_costs_s) == _TIMED and self.counter_every_s == 0.0:
            return read_promptly(self._millijoules)
        begin_ns = time.thread_time_ns()
        reading = read_promptly(self._millijoules)
        if len(self.counter_costs_s) < _TIMED:
            self.counter_costs_s.append((time.thread_time_ns() - begin_ns) * 1e-9)
        self._choose_rate()
        return reading

    def _choose_rate(self) -> None:
        every_s = statistics.median(self.counter_costs_s) / COUNTER_SHARE
        if every_s <= _EVERY_TICK_S or not self.has_power:
            every_s = 0.0
        self.counter_every_s = min(every_s, _UNPLACED_S if self.info.update_period_s is None else _RARELY_S)
        self.info.counter_every_s = self.counter_every_s or None

    def _power_w(self) -> float | None:
        if self.scope is not None:
            return self._field_w(_FIELD_INSTANT, self.scope)
        milliwatts = self._ask("nvmlDeviceGetPowerUsage") if self.has_usage else None
        return None if milliwatts is None else float(milliwatts * 1e-3)

    def _failed(self, before_ns: int, error: Exception | None) -> Sample | None:
        first = self.lost_since_ns is None
        self.lost_since_ns = time.monotonic_ns()
        if not first:
            return None
        self.info.notes.append(f"stopped answering: {error or 'no power reading'}")
        return Sample(before_ns, self.lost_since_ns - before_ns, self.info.device, "nvml", MEASURED, event="lost")

    def _read_slow(self, sample: Sample, tree: ProcessTree | None) -> None:
        if self.scope is not None:
            sample.power_average_w = self._field_w(_FIELD_AVERAGE, self.scope)
        sample.temperature_c = self._ask("nvmlDeviceGetTemperature", 0)
        utilization = self._ask("nvmlDeviceGetUtilizationRates")
        use = getattr(utilization, "gpu", None)
        sample.util_pct = None if use is None else float(use)
        sample.clock_mhz = self._ask("nvmlDeviceGetClockInfo", 1)
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is not None:
            sample.throttle = "+".join(name for bit, name in _REASONS.items() if reasons & bit) or "none"
        sample.foreign = self._foreign(tree)

    def _foreign(self, tree: ProcessTree | None) -> int | None:
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses")
        if processes is None or tree is None or not tree.watching:
            return None
        pids = {int(process.pid) for process in processes}
        if any(not Path(f"/proc/{pid}").exists() for pid in pids):
            return None  # process ids of another namespace cannot be told apart from ours
        return len(pids - tree.pids)
