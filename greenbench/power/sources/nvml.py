"""NVIDIA GPUs through NVML: energy counter, instant and average power, and what explains them.

The counter (millijoules since the driver was loaded; Volta and newer) is the figure. Power comes from the field
values 186 (instant) and 185 (average): ``nvmlDeviceGetPowerUsage`` is a one-second average on Ampere (except
GA100) and newer. Average power, temperature, clocks, throttle reasons and foreign processes are read about every
second and a half.

What a counter reading costs differs by a factor of a thousand: 5 ms of CPU time on an H100 with driver 580, where every
other call takes less than 0.1 ms. So it is timed, and a costly counter is read rarely, with power in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source, read_promptly
from greenbench.power.sources.cuda_driver import device_uuids
from greenbench.power.sources.cuda_visible import Gpu, depends_on_order, list_gpus, named_gpus, visible_gpus
from greenbench.power.sources.process_tree import ProcessTree

TOLERANCE = 0.05
TOLERANCE_SOURCE = "NVIDIA NVML reference: power within 5 % of the current draw"
_FIELD_AVERAGE, _FIELD_INSTANT = 185, 186
_SCOPES = {0: "gpu", 1: "module"}
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


def find(names: Sequence[str] | None, tree: ProcessTree | None = None) -> Source:
    """The NVML source, or a null source with the reason.

    ``names`` are the cards to read (see ``named_gpus``); default: those CUDA would see; empty: none.
    """
    if names is not None and not names:
        return NullSource("nvml", "no GPU is asked for")
    library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        ctypes.CDLL(library)  # before importing pynvml: without a driver that import would be wasted
    except OSError:
        return NullSource("nvml", f"{library} cannot be loaded: no NVIDIA driver is installed, or it is not in here")
    try:
        import pynvml
    except ImportError:
        return NullSource("nvml", "the package nvidia-ml-py is not installed: pip install nvidia-ml-py")
    try:
        pynvml.nvmlInit()
        gpus = list_gpus(pynvml)
    except pynvml.NVMLError as error:
        return NullSource("nvml", f"NVML does not start: {error}")
    if not gpus:
        return NullSource("nvml", "the NVIDIA driver lists no GPU")
    chosen, notes = _choose(gpus, names)
    if not chosen:
        return NullSource("nvml", "; ".join(notes) or "CUDA_VISIBLE_DEVICES shows no GPU")
    return NvmlSource(pynvml, chosen, notes, tree)


def _choose(gpus: list[Gpu], names: Sequence[str] | None) -> tuple[list[tuple[Gpu, bool]], list[str]]:
    ordinal = any(name.startswith("cuda") for name in names or ())
    asks = depends_on_order(os.environ, gpus, ordinal=ordinal) and (names is None or ordinal)
    order = device_uuids() if asks else None
    visible = visible_gpus(os.environ, gpus, order) if names is None else named_gpus(names, os.environ, gpus, order)
    shared = {v.uuid for v in visible.gpus if v.shared}
    chosen = [(gpu, gpu.uuid in shared) for gpu in gpus if gpu.uuid in visible.uuids]
    return chosen, list(visible.warnings)


class _Card:
    """One GPU: what it supports and what was last seen."""

    def __init__(self, nvml: Any, gpu: Gpu, *, shared: bool) -> None:
        self.nvml = nvml
        self.handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        self.uuid = gpu.uuid
        self.has_counter = self._energy_j() is not None
        self.scope = self._find_scope()
        self.has_usage = self.scope is None and self._usage_w() is not None
        self.counter_costs_s: list[float] = []
        self.counter_every_s = 0.0  # between two readings of the counter; 0 where it may be read at every tick
        self.counter_at_ns = 0
        self.last_energy_j: float | None = None
        self.lost_since_ns: int | None = None
        self.slow_at_ns = 0
        self.info = self._info(gpu, shared=shared)

    def _optional(self, function: str, *arguments: Any) -> Any:
        try:
            value = getattr(self.nvml, function)(self.handle, *arguments)
        except (self.nvml.NVMLError, AttributeError):
            return None
        return value.decode() if isinstance(value, bytes) else value

    def _energy_j(self) -> float | None:
        value = self._optional("nvmlDeviceGetTotalEnergyConsumption")
        return None if value is None else value * 1e-3

    def _usage_w(self) -> float | None:
        value = self._optional("nvmlDeviceGetPowerUsage")
        return None if value is None else value * 1e-3

    def _field_w(self, field: int, scope: int) -> float | None:
        value = self.nvml.nvmlDeviceGetFieldValues(self.handle, [(field, scope)])[0]
        return value.value.uiVal * 1e-3 if value.nvmlReturn == 0 else None

    def _find_scope(self) -> int | None:
        for scope in _SCOPES:
            try:
                if self._field_w(_FIELD_INSTANT, scope) is not None:
                    return scope
            except (self.nvml.NVMLError, AttributeError):
                continue
        return None

    @property
    def has_power(self) -> bool:
        """Whether the card says its power."""
        return self.scope is not None or self.has_usage

    def _info(self, gpu: Gpu, *, shared: bool) -> DeviceInfo:
        limit = self._optional("nvmlDeviceGetEnforcedPowerLimit")
        details = {
            "name": gpu.name,
            "uuid": gpu.uuid,
            "pci_bus_id": gpu.pci_bus_id,
            "index": gpu.index,
            "power_limit_w": None if limit is None else limit * 1e-3,
            "persistence": self._optional("nvmlDeviceGetPersistenceMode"),
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
            details=details,
        )
        if self.scope == 1:
            info.notes.append("power is the module's: it includes the CPU beside the GPU")
        if not self.has_counter:
            info.notes.append("no energy counter (older than Volta): joules are integrated power")
        if not self.has_counter and not self.has_power:
            info.notes.append("neither an energy counter nor a power reading: nothing can be measured")
        if details["persistence"] == 0:
            info.notes.append("persistence mode is off: the first reads may wake the driver (nvidia-smi -pm 1)")
        return info

    def read(self, tree: ProcessTree | None, *, full: bool) -> Sample | None:
        """Read the card once; None while it is lost and not due for another try."""
        before = middle = time.monotonic_ns()
        if self.lost_since_ns is not None and before - self.lost_since_ns < _RETRY_LOST_NS:
            return None
        back = self.lost_since_ns is not None
        counts = self.has_counter and (full or back or before - self.counter_at_ns >= self.counter_every_s * 1e9)
        try:
            millijoules = None
            if counts:
                millijoules, before, middle = self._read_counter()
            power_w = self._power_w()
        except self.nvml.NVMLError as error:
            return self._failed(before, error)
        after = time.monotonic_ns()
        # The stamp belongs to the counter where it was read: its edges decide the window.
        sample = self._sample(before, middle if counts else after, millijoules, power_w)
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
        if self.has_usage:
            return float(self.nvml.nvmlDeviceGetPowerUsage(self.handle) * 1e-3)
        return None

    def _failed(self, before_ns: int, error: Exception) -> Sample | None:
        first = self.lost_since_ns is None
        self.lost_since_ns = time.monotonic_ns()
        if not first:
            return None
        self.info.notes.append(f"stopped answering: {error}")
        return Sample(before_ns, self.lost_since_ns - before_ns, self.info.device, "nvml", MEASURED, event="lost")

    def _read_slow(self, sample: Sample, tree: ProcessTree | None) -> None:
        if self.scope is not None:
            with contextlib.suppress(self.nvml.NVMLError):
                sample.power_average_w = self._field_w(_FIELD_AVERAGE, self.scope)
        sample.temperature_c = self._optional("nvmlDeviceGetTemperature", 0)
        utilization = self._optional("nvmlDeviceGetUtilizationRates")
        sample.util_pct = None if utilization is None else float(utilization.gpu)
        sample.clock_mhz = self._optional("nvmlDeviceGetClockInfo", 1)
        reasons = self._optional("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = self._optional("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is not None:
            sample.throttle = "+".join(name for bit, name in _REASONS.items() if reasons & bit) or "none"
        sample.foreign = self._foreign(tree)

    def _foreign(self, tree: ProcessTree | None) -> int | None:
        processes = self._optional("nvmlDeviceGetComputeRunningProcesses")
        if processes is None or tree is None or not tree.watching:
            return None
        pids = {int(process.pid) for process in processes}
        if any(not os.path.exists(f"/proc/{pid}") for pid in pids):  # noqa: PTH110
            return None  # process ids of another namespace cannot be told apart from ours
        return len(pids - tree.pids)


class NvmlSource(Source):
    """The chosen GPUs of this machine."""

    name = "nvml"
    min_period_s = 0.0

    def __init__(self, nvml: Any, chosen: list[tuple[Gpu, bool]], notes: list[str], tree: ProcessTree | None) -> None:
        self.available = True
        self.reason = "; ".join(notes)
        self._nvml = nvml
        self._tree = tree
        self._cards = [_Card(nvml, gpu, shared=shared) for gpu, shared in chosen]
        self._describe_driver()
        self.devices = [card.info for card in self._cards]

    def _describe_driver(self) -> None:
        try:
            version = self._nvml.nvmlSystemGetDriverVersion()
        except self._nvml.NVMLError:
            version = None
        for card in self._cards:
            card.info.details["driver"] = version.decode() if isinstance(version, bytes) else version

    def read(self) -> list[Sample]:
        """Read every card once; a costly counter only when it is due."""
        return self._read(full=False)

    def read_full(self) -> list[Sample]:
        """Read every card once, and its counter whatever it costs."""
        return self._read(full=True)

    def _read(self, *, full: bool) -> list[Sample]:
        readings = (card.read(self._tree, full=full) for card in self._cards)
        return [sample for sample in readings if sample is not None]

    def close(self) -> None:
        """Shut NVML down."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return
