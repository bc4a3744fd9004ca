"""A stand-in for amdsmi (ROCm 6): cards with constant power and an energy accumulator, from FAKE_AMDSMI.

FAKE_AMDSMI is JSON: {"start_ns": N, "cards": [{"power_w", "serial", "name", "counter", "power", "lost_at_s"}, ...]}.
"""

import json
import os
import time
from typing import Any

_STATE = {}
_COUNTER_UJ = 15.259  # MI200's resolution


class AmdSmiException(Exception):
    """What the library raises."""


def amdsmi_init() -> None:
    _STATE.update(json.loads(os.environ["FAKE_AMDSMI"]))
    if _STATE.get("error"):
        raise AmdSmiException(_STATE["error"])


def amdsmi_shut_down() -> None:
    _STATE.clear()


def amdsmi_get_processor_handles() -> list[dict[str, Any]]:
    return list(_STATE["cards"])


def _seconds(card: dict[str, Any]) -> float:
    elapsed_s = (time.monotonic_ns() - _STATE["start_ns"]) * 1e-9
    if elapsed_s > card.get("lost_at_s", 1e9):
        raise AmdSmiException("AMDSMI_STATUS_NO_DATA")
    return elapsed_s


def amdsmi_get_energy_count(card: dict[str, Any]) -> dict[str, Any]:
    elapsed_s = _seconds(card)
    if not card.get("counter", True):
        raise AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")
    count = int((1000 + card["power_w"] * elapsed_s) / (_COUNTER_UJ * 1e-6))
    return {"energy_accumulator": count, "counter_resolution": _COUNTER_UJ, "timestamp": time.time_ns()}


def amdsmi_get_power_info(card: dict[str, Any]) -> dict[str, Any]:
    _seconds(card)
    power_w = int(card["power_w"]) if card.get("power", True) else "N/A"
    return {"current_socket_power": power_w, "average_socket_power": "N/A", "power_limit": 560}


def amdsmi_get_gpu_asic_info(card: dict[str, Any]) -> dict[str, Any]:
    return {"market_name": card.get("name", "AMD Instinct MI250X"), "asic_serial": card.get("serial", "N/A")}


def amdsmi_get_gpu_device_uuid(card: dict[str, Any]) -> str:
    return f"uuid-{card.get('serial')}"


def amdsmi_get_gpu_device_bdf(card: dict[str, Any]) -> str:
    return card.get("bdf", "0000:c1:00.0")


def amdsmi_get_gpu_driver_info(card: dict[str, Any]) -> dict[str, Any]:
    return {"driver_name": "amdgpu", "driver_version": "6.10.5"}


def amdsmi_get_power_cap_info(card: dict[str, Any]) -> dict[str, Any]:
    return {"power_cap": 560_000_000, "default_power_cap": 560_000_000}
