"""A stand-in for zeus-apple-silicon: constant power per part, cumulative millijoules; FAKE_APPLE_START_NS begins it."""

import os
import time

POWERS_W = {"cpu_total": 8.0, "gpu": 12.0, "gpu_sram": 1.0, "dram": 2.0}


class AppleEnergyMetrics:
    """Fields that this chip does not have are None, as in the package."""

    def __init__(self, elapsed_s: float) -> None:
        for name, power_w in POWERS_W.items():
            setattr(self, f"{name}_mj", int(power_w * elapsed_s * 1e3))
        self.ane_mj = None


class AppleEnergyMonitor:
    """Counts from its creation."""

    def __init__(self) -> None:
        if "FAKE_APPLE_START_NS" not in os.environ:
            raise RuntimeError("IOReport channels are not there")
        self._start_ns = int(os.environ["FAKE_APPLE_START_NS"])

    def get_cumulative_energy(self) -> AppleEnergyMetrics:
        return AppleEnergyMetrics((time.monotonic_ns() - self._start_ns) * 1e-9)
