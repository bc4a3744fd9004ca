"""The cards that NVML lists. Drivers, virtual GPUs, WSL2 and Jetson boards lack one call or another.

A card needs a handle and a UUID; nothing else about it is taken for granted, whatever the driver answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greenbench.power.sources.cuda_visible import Gpu

_MOST_SLICES = 7  # of one card in MIG mode (NVIDIA MIG user guide)


def ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """Call a function of NVML that may be missing, refused or answered with what is no text; None is no answer."""
    try:
        value = getattr(nvml, function)(*arguments)
    except Exception:  # not only NVMLError: pynvml raises others where it is newer or older than the driver
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@dataclass(frozen=True)
class Unlisted:
    """A card that the driver counts and does not let us open."""

    index: int
    reason: str


def list_gpus(nvml: Any) -> tuple[list[Gpu], list[Unlisted]]:
    """List the cards through an initialised ``pynvml`` module, and those that cannot be opened.

    Raises:
        NVMLError: the driver does not say how many there are.
    """
    gpus: list[Gpu] = []
    unlisted: list[Unlisted] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = nvml.nvmlDeviceGetUUID(handle)
        except nvml.NVMLError as error:
            unlisted.append(Unlisted(index, str(error)))
            continue
        gpus.append(_describe(nvml, index, handle, uuid.decode() if isinstance(uuid, bytes) else str(uuid)))
    return gpus, unlisted


def _describe(nvml: Any, index: int, handle: Any, uuid: str) -> Gpu:
    mode = ask(nvml, "nvmlDeviceGetMigMode", handle)
    enabled = bool(mode) and mode[0] == 1
    slices = []
    if enabled:
        for position in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or _MOST_SLICES):
            mig = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, position)
            name = None if mig is None else ask(nvml, "nvmlDeviceGetUUID", mig)
            slices += [] if name is None else [str(name)]
    bus = getattr(ask(nvml, "nvmlDeviceGetPciInfo", handle), "busId", "")
    return Gpu(
        index=index,
        uuid=uuid,
        pci_bus_id=bus.decode(errors="replace") if isinstance(bus, bytes) else str(bus),
        name=str(ask(nvml, "nvmlDeviceGetName", handle) or ""),
        mig_uuids=tuple(slices),
        mig_enabled=enabled,
    )
