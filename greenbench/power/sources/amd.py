"""AMD GPUs through amdsmi (installed with ROCm, or ``pip install amdsmi``).

The energy accumulator times its resolution is the counter. It is known to stand still on some cards and to step
backwards (ROCm/amdsmi issues 22, 38, 115), so the trace compares it with integrated power as on any device.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Sequence
from typing import Any

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source, read_promptly
from greenbench.power.sources.rocm_visible import named_amd, visible_amd


def find(names: Sequence[str] | None = None) -> Source:
    """The AMD source, or a null source with the reason.

    ``names`` are the cards to read (see ``named_amd``); default: those HIP would see; empty: none.
    """
    if names is not None and not names:
        return NullSource("amd", "no GPU is asked for")
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
    return _chosen(amdsmi, list(handles), names)


def _chosen(amdsmi: Any, handles: list[Any], names: Sequence[str] | None) -> Source:
    serials = [str(_ask(amdsmi, "amdsmi_get_gpu_asic_info", handle).get("asic_serial") or "") for handle in handles]
    chosen, notes = visible_amd(os.environ, serials) if names is None else named_amd(names, os.environ, serials)
    if not chosen:
        return NullSource("amd", "; ".join(notes) or "ROCR_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES shows no GPU")
    return AmdSource(amdsmi, {index: handles[index] for index in chosen}, notes)


def _ask(amdsmi: Any, function: str, handle: Any) -> dict[str, Any]:
    """The dictionary that a function of amdsmi answers; empty where the card or the version has none."""
    try:
        answer = getattr(amdsmi, function)(handle)
    except Exception:
        return {}
    return answer if isinstance(answer, dict) else {}


class AmdSource(Source):
    """The chosen AMD GPUs, each under the index that amdsmi gives it."""

    name = "amd"
    min_period_s = 0.0

    def __init__(self, amdsmi: Any, handles: dict[int, Any], notes: Sequence[str] = ()) -> None:
        self.available = True
        self.reason = "; ".join(notes)
        self._amdsmi = amdsmi
        self._handles = handles
        self._lost: set[int] = set()
        self.devices = [self._info(index, handle) for index, handle in handles.items()]

    def _info(self, index: int, handle: Any) -> DeviceInfo:
        cap = _ask(self._amdsmi, "amdsmi_get_power_cap_info", handle).get("power_cap")
        details = {
            "name": _ask(self._amdsmi, "amdsmi_get_gpu_asic_info", handle).get("market_name"),
            "uuid": self._optional("amdsmi_get_gpu_device_uuid", handle),
            "pci_bus_id": self._optional("amdsmi_get_gpu_device_bdf", handle),
            "index": index,
            "driver": _ask(self._amdsmi, "amdsmi_get_gpu_driver_info", handle).get("driver_version"),
            "power_limit_w": cap * 1e-6 if isinstance(cap, int | float) else None,
        }
        has_counter = self._energy_j(handle) is not None
        info = DeviceInfo(f"amd{index}", "amd", MEASURED, "gpu", has_counter=has_counter, details=details)
        info.tolerance, info.tolerance_source = 0.05, "assumed; no vendor figure"
        return info

    def _optional(self, function: str, handle: Any) -> Any:
        try:
            return getattr(self._amdsmi, function)(handle)
        except Exception:
            return None

    def _energy_j(self, handle: Any) -> float | None:
        energy = _ask(self._amdsmi, "amdsmi_get_energy_count", handle)
        # Microjoules; the key was "power" before ROCm 6.2. Absent figures are the text "N/A".
        count, step_uj = energy.get("energy_accumulator", energy.get("power")), energy.get("counter_resolution")
        known = isinstance(count, int | float) and isinstance(step_uj, int | float)
        return count * step_uj * 1e-6 if known else None  # type: ignore[operator]

    def _power_w(self, handle: Any) -> float | None:
        power = _ask(self._amdsmi, "amdsmi_get_power_info", handle)
        for key in ("current_socket_power", "socket_power", "average_socket_power"):
            value = power.get(key)
            if isinstance(value, int | float) and value > 0:
                return float(value)
        return None

    def read(self) -> list[Sample]:
        """Read every card once."""
        return [self._read_one(i, handle) for i, handle in self._handles.items() if i not in self._lost]

    def _read_one(self, index: int, handle: Any) -> Sample:
        energy, before, middle = read_promptly(lambda: self._energy_j(handle))
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
