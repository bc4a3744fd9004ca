"""Apple silicon through IOReport by way of zeus-apple-silicon (``pip install zeus-apple-silicon``); needs no sudo."""

from __future__ import annotations

import platform
import time
from typing import Any

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source

_PARTS = {
    "cpu": (("cpu_total_mj",), "cpu"),
    "gpu0": (("gpu_mj", "gpu_sram_mj"), "gpu"),
    "dram": (("dram_mj",), "dram"),
    "ane": (("ane_mj",), "accelerator"),
}


def find(system: str = platform.system(), machine: str = platform.machine()) -> Source:
    """The Apple source, or a null source with the reason. The package can only be built on Apple silicon."""
    try:
        import zeus_apple_silicon
    except ImportError:
        if (system, machine) != ("Darwin", "arm64"):
            return NullSource("apple", "this is not an Apple silicon machine")
        return NullSource("apple", "zeus-apple-silicon is not installed: pip install zeus-apple-silicon")
    try:
        return AppleSource(zeus_apple_silicon.AppleEnergyMonitor())
    except RuntimeError as error:
        return NullSource("apple", f"IOReport does not start: {error}")


class AppleSource(Source):
    """Cumulative energy of CPU, GPU, DRAM and neural engine."""

    name = "apple"
    min_period_s = 0.1  # one IOReport sample costs about a millisecond

    def __init__(self, monitor: Any) -> None:
        self.available = True
        self.reason = ""
        self._monitor = monitor
        metrics = monitor.get_cumulative_energy()
        self.devices = [
            DeviceInfo(
                name,
                "apple",
                MEASURED,
                part,
                has_counter=True,
                power_from="counter",
                tolerance=0.05,
                tolerance_source="assumed; no vendor figure",
                details={"name": "Apple silicon GPU"} if part == "gpu" else {},
            )
            for name, (fields, part) in _PARTS.items()
            if _millijoules(metrics, fields) is not None
        ]

    def read(self) -> list[Sample]:
        """Read all parts at once."""
        before = time.monotonic_ns()
        metrics = self._monitor.get_cumulative_energy()
        after = time.monotonic_ns()
        samples = []
        for info in self.devices:
            value = _millijoules(metrics, _PARTS[info.device][0])
            sample = Sample((before + after) // 2, after - before, info.device, self.name, MEASURED)
            sample.energy_j = None if value is None else value * 1e-3
            sample.event = "lost" if value is None else None
            samples.append(sample)
        return samples

    def close(self) -> None:
        """Nothing to release."""


def _millijoules(metrics: Any, fields: tuple[str, ...]) -> float | None:
    values = [getattr(metrics, field, None) for field in fields]
    present = [value for value in values if value is not None]
    return float(sum(present)) if present else None
