"""Which physical GPUs a CUDA program sees: CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER and MIG, mapped to UUIDs.

NVML numbers cards by PCI bus; CUDA by default puts the fastest first, so an index of one is not an index of the
other. Everything here ends in UUIDs. The mapping is a pure function of the environment and of what NVML lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Gpu:
    """A physical card as NVML lists it; ``mig_uuids`` are its MIG devices, empty when MIG is off."""

    index: int
    uuid: str
    pci_bus_id: str
    name: str
    mig_uuids: tuple[str, ...] = ()
    mig_enabled: bool = False


@dataclass(frozen=True, slots=True)
class VisibleGpu:
    """One CUDA device: its ordinal inside the program, the physical card, and the MIG slice if it is one.

    ``shared`` is True for a MIG slice: the sensors of the card see every slice, so its joules are the card's.
    """

    ordinal: int
    uuid: str
    mig_uuid: str | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Visible:
    """What a CUDA program sees, with warnings where the environment is ambiguous or wrong."""

    gpus: tuple[VisibleGpu, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def uuids(self) -> tuple[str, ...]:
        """Physical cards to meter, each once: two MIG slices of one card are one card."""
        return tuple(dict.fromkeys(gpu.uuid for gpu in self.gpus))


_INTEGER = re.compile(r"^\s*([+-]?\d+)")


def visible_gpus(environment: Mapping[str, str], gpus: Sequence[Gpu]) -> Visible:
    """Map the environment to the cards a CUDA program started in it would see.

    CUDA's rules: unset means all; the list ends at the first entry that is not a device; a device named twice
    makes the whole list invalid; UUIDs may be abbreviated as long as they are unique; a card in MIG mode shows
    its first slice. (CUDA programming guide, environment variables.)
    """
    ordered = sorted(gpus, key=lambda gpu: gpu.pci_bus_id.lower())
    warnings: list[str] = []
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        chosen = [_whole_or_first_slice(gpu) for gpu in ordered]
    else:
        chosen = _parse(value, ordered, warnings)
        _warn_order(environment, value, ordered, chosen, warnings)
    found = tuple(VisibleGpu(i, gpu.uuid, mig, shared) for i, (gpu, mig, shared) in enumerate(chosen))
    if any(gpu.shared for gpu in found):
        warnings.append("MIG: sensors see the whole card, so its joules include the other slices")
    return Visible(found, tuple(warnings))


_Choice = tuple[Gpu, "str | None", bool]


def _whole_or_first_slice(gpu: Gpu) -> _Choice:
    if gpu.mig_enabled:
        return gpu, (gpu.mig_uuids[0] if gpu.mig_uuids else None), True
    return gpu, None, False


def _parse(value: str, gpus: Sequence[Gpu], warnings: list[str]) -> list[_Choice]:
    chosen: list[_Choice] = []
    for entry in (part.strip() for part in value.split(",")):
        choice = _resolve(entry, gpus)
        if choice is None:
            if entry not in ("", "-1", "NoDevFiles", "none", "void"):
                warnings.append(f"CUDA_VISIBLE_DEVICES: {entry!r} is no device here; CUDA ends the list at it")
            break
        if choice in chosen:
            warnings.append(f"CUDA_VISIBLE_DEVICES: {entry!r} is named twice; CUDA then shows no device")
            return []
        chosen.append(choice)
    return chosen


def _resolve(entry: str, gpus: Sequence[Gpu]) -> _Choice | None:
    if entry.upper().startswith("MIG-GPU-"):  # drivers before 470: MIG-GPU-<uuid>/<instance>/<compute instance>
        uuid = entry[4:].split("/")[0]
        parents = [gpu for gpu in gpus if _is_prefix(uuid, gpu.uuid)]
        return (parents[0], entry, True) if len(parents) == 1 else None
    if entry.upper().startswith("MIG-"):
        slices = [(gpu, mig) for gpu in gpus for mig in gpu.mig_uuids if _is_prefix(entry, mig)]
        return (*slices[0], True) if len(slices) == 1 else None
    if entry.upper().startswith("GPU-"):
        named = [gpu for gpu in gpus if _is_prefix(entry, gpu.uuid)]
        return _whole_or_first_slice(named[0]) if len(named) == 1 and len(entry) > len("GPU-") else None
    number = _INTEGER.match(entry)
    if number is None or not 0 <= int(number.group(1)) < len(gpus):
        return None
    return _whole_or_first_slice(gpus[int(number.group(1))])


def _is_prefix(abbreviated: str, full: str) -> bool:
    return len(abbreviated) > len("MIG-") and full.lower().startswith(abbreviated.lower())


def _warn_order(
    environment: Mapping[str, str],
    value: str,
    gpus: Sequence[Gpu],
    chosen: list[_Choice],
    warnings: list[str],
) -> None:
    by_index = any(_INTEGER.match(part) for part in value.split(","))
    by_bus = environment.get("CUDA_DEVICE_ORDER", "").upper() == "PCI_BUS_ID"
    different = len({gpu.name for gpu in gpus}) > 1
    if by_index and not by_bus and different and 0 < len(chosen) < len(gpus):
        warnings.append(
            "CUDA_VISIBLE_DEVICES names cards by index, CUDA puts the fastest first and the cards here differ: "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID or name them as GPU-<uuid>"
        )


def list_gpus(nvml: Any) -> list[Gpu]:
    """List the cards through an initialised ``pynvml`` module."""
    return [_describe(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]


def _describe(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        enabled = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
    except nvml.NVMLError:
        enabled = False
    slices: list[str] = []
    if enabled:
        for position in range(_max_slices(nvml, handle)):
            try:
                mig = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, position)
                slices.append(_text(nvml.nvmlDeviceGetUUID(mig)))
            except nvml.NVMLError:
                continue
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        pci_bus_id=_text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        mig_uuids=tuple(slices),
        mig_enabled=enabled,
    )


def _max_slices(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    except nvml.NVMLError:
        return 7


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
