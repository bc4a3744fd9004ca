"""The calls of NVML that are made at every tick, straight into the driver's library.

pynvml makes and fills its structures anew at every call, which out of cold caches takes as long as the call itself.
Here they are made once and read where the driver leaves its answer.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

Milli = Callable[[], int]


def field_mw(nvml: Any, handle: Any, field: int, scope: int) -> Milli:
    """Return what reads a power field in milliwatts; it raises OSError where the card does not say it."""
    values = (nvml.c_nvmlFieldValue_t * 1)()
    values[0].fieldId, values[0].scopeId = field, scope
    call = functools.partial(nvml.nvmlLib.nvmlDeviceGetFieldValues, handle, 1, values)
    kind = nvml.c_nvmlFieldValue_t
    milliwatts = ctypes.c_uint.from_buffer(values, kind.value.offset)
    code = ctypes.c_uint.from_buffer(values, kind.nvmlReturn.offset)

    def read() -> int:
        if call() or code.value:
            raise OSError("no power reading")
        return milliwatts.value

    return read


def usage_mw(nvml: Any, handle: Any) -> Milli:
    """Return what reads ``nvmlDeviceGetPowerUsage`` in milliwatts; it raises OSError where the card does not answer."""
    return _number(nvml.nvmlLib.nvmlDeviceGetPowerUsage, handle, ctypes.c_uint())


def energy_mj(nvml: Any, handle: Any) -> Milli:
    """Return what reads the energy counter in millijoules; it raises OSError where the card does not answer."""
    return _number(nvml.nvmlLib.nvmlDeviceGetTotalEnergyConsumption, handle, ctypes.c_ulonglong())


def _number(function: Any, handle: Any, answer: Any) -> Milli:
    call = functools.partial(function, handle, ctypes.byref(answer))

    def read() -> int:
        if call():
            raise OSError("no answer")
        return int(answer.value)

    return read
