"""AMD GPUs through amdsmi (installed with ROCm, or ``pip install amdsmi``).

The energy accumulator times its resolution is the counter. It is known to stand still on some cards and to step
backwards (ROCm/amdsmi issues 22, 38, 115), so the trace compares it with integrated power as on any device.
"""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source


def find() -> Source:
    """Return the AMD source, or a null source with the reason."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where its library is missing
            import amdsmi
    except (ImportError, OSError, KeyError):
        return NullSource("amd", "amdsmi is not installed: it comes with ROCm 6.1 or newer")
    try:
        amdsmi.amdsmi_init()
        handles = amdsmi.amdsmi_get_processor_handles()
    except Exception as error:
        return NullSource("amd", f"amdsmi does not start: {error}")
    if not handles:
        return NullSource("amd", "amdsmi lists no GPU")
    return AmdSource(amdsmi, list(handles))


class AmdSource:
    """Every AMD GPU that amdsmi lists."""

    name = "amd"
    min_period_s = 0.0

    def __init__(self, amdsmi: Any, handles: list[Any]) -> None:
        self.available = True
        self.reason = ""
        self._amdsmi = amdsmi
        self._handles = handles
        self._lost: set[int] = set()
        self.devices = [self._info(index, handle) for index, handle in enumerate(handles)]

    def _info(self, index: int, handle: Any) -> DeviceInfo:
        uuid = self._optional("amdsmi_get_gpu_device_uuid", handle)
        has_counter = self._energy_j(handle) is not None
        info = DeviceInfo(f"amd{index}", "amd", MEASURED, "gpu", has_counter=has_counter, details={"uuid": uuid})
        info.tolerance, info.tolerance_source = 0.05, "assumed; no vendor figure"
        return info

    def _optional(self, function: str, handle: Any) -> Any:
        try:
            return getattr(self._amdsmi, function)(handle)
        except Exception:
            return None

    def _energy_j(self, handle: Any) -> float | None:
        energy = self._optional("amdsmi_get_energy_count", handle)
        if not energy:
            return None
        count = energy.get("energy_accumulator", energy.get("power"))
        return None if count is None else count * energy["counter_resolution"] * 1e-6

    def _power_w(self, handle: Any) -> float | None:
        power = self._optional("amdsmi_get_power_info", handle) or {}
        for key in ("current_socket_power", "socket_power", "average_socket_power"):
            value = power.get(key)
            if isinstance(value, int | float) and value > 0:
                return float(value)
        return None

    def read(self) -> list[Sample]:
        """Read every card once."""
        return [self._read_one(i, handle) for i, handle in enumerate(self._handles) if i not in self._lost]

    def _read_one(self, index: int, handle: Any) -> Sample:
        before = time.monotonic_ns()
        energy = self._energy_j(handle)
        middle = time.monotonic_ns()
        power = self._power_w(handle)
        after = time.monotonic_ns()
        sample = Sample((before + middle) // 2, after - before, f"amd{index}", "amd", MEASURED, power, energy)
        if energy is None and power is None:
            self._lost.add(index)
            sample.event = "lost"
        return sample

    def close(self) -> None:
        """Shut amdsmi down."""
        with contextlib.suppress(Exception):
            self._amdsmi.amdsmi_shut_down()
