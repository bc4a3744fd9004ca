"""Which physical GPUs a CUDA program sees: CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER and MIG, mapped to UUIDs.

NVML numbers cards by PCI bus; CUDA by default puts the fastest first, so an index of one is not an index of the
other. Everything here ends in UUIDs. The mapping is a pure function of the environment and of what NVML lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


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


def _by_bus(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Order by PCI bus; NVML's own order, which follows the bus, where a driver does not tell it of every card."""
    if all(gpu.pci_bus_id for gpu in gpus):
        return sorted(gpus, key=lambda gpu: gpu.pci_bus_id.lower())
    return sorted(gpus, key=lambda gpu: gpu.index)


_INTEGER = re.compile(r"^\s*([+-]?\d+)")


def visible_gpus(
    environment: Mapping[str, str], gpus: Sequence[Gpu], cuda_uuids: Sequence[str] | None = None
) -> Visible:
    """Map the environment to the cards a CUDA program started in it would see.

    CUDA's rules: unset means all; the list ends at the first entry that is not a device; a device named twice
    makes the whole list invalid; UUIDs may be abbreviated as long as they are unique; a card in MIG mode shows
    its first slice. (CUDA programming guide, environment variables.)

    ``cuda_uuids`` is the answer of the CUDA driver itself in this environment (``cuda_driver.device_uuids``), which
    knows its own order; without it, an index counts by PCI bus, with a warning where that is a guess.
    """
    ordered = _by_bus(gpus)
    warnings: list[str] = []
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if cuda_uuids is not None:
        chosen = _as_the_driver_says(cuda_uuids, ordered, warnings)
    elif value is None:
        chosen = [_whole_or_first_slice(gpu) for gpu in ordered]
    else:
        chosen = _parse(value, ordered, warnings)
        if depends_on_order(environment, gpus) and 0 < len(chosen) < len(gpus) and _differ(gpus):
            warnings.append(GUESSED_ORDER)
    found = tuple(VisibleGpu(i, gpu.uuid, mig, shared) for i, (gpu, mig, shared) in enumerate(chosen))
    if any(gpu.shared for gpu in found):
        warnings.append(_SHARED)
    return Visible(found, tuple(warnings))


_SHARED = "MIG: sensors see the whole card, so its joules include the other slices"
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


GUESSED_ORDER = (
    "a card is named by index, CUDA puts the fastest first, the cards here differ and the CUDA driver could not be "
    "asked: the card was taken by PCI bus; set CUDA_DEVICE_ORDER=PCI_BUS_ID or name cards as GPU-<uuid>"
)


def depends_on_order(environment: Mapping[str, str], gpus: Sequence[Gpu], *, ordinal: bool = False) -> bool:
    """Whether CUDA's own order decides which cards are meant.

    It does where ``CUDA_VISIBLE_DEVICES`` holds indices, or is unset and a card is chosen by its ``ordinal``
    (``cuda:1``), and ``CUDA_DEVICE_ORDER`` is not ``PCI_BUS_ID``.
    """
    if len(gpus) < 2 or environment.get("CUDA_DEVICE_ORDER", "").upper() == "PCI_BUS_ID":
        return False
    value = environment.get("CUDA_VISIBLE_DEVICES")
    return ordinal if value is None else any(_INTEGER.match(part) for part in value.split(","))


def _differ(gpus: Sequence[Gpu]) -> bool:
    return len({gpu.name for gpu in gpus}) > 1


def named_gpus(
    names: Sequence[str], environment: Mapping[str, str], gpus: Sequence[Gpu], cuda_uuids: Sequence[str] | None = None
) -> Visible:
    """Map names of cards to cards: ``cuda``, ``cuda:1``, ``GPU-<uuid>``, ``MIG-<uuid>``, or an index by PCI bus.

    ``cuda:N`` is what torch calls so in this environment; ``hip:N`` is another vendor's and passed over. A name that
    is no card here is left out with a warning.
    """
    ordered = _by_bus(gpus)
    seen = visible_gpus(environment, gpus, cuda_uuids)
    by_ordinal = any(name.startswith("cuda") for name in names)
    found: list[VisibleGpu] = []
    warnings = [text for text in seen.warnings if text != _SHARED] if by_ordinal else []
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "hip":
            continue
        if kind == "cuda":
            match = seen.gpus[int(number or 0) :][:1]
        else:
            choice = _resolve(name, ordered)
            match = (VisibleGpu(0, choice[0].uuid, choice[1], choice[2]),) if choice else ()
        if not match:
            warnings.append(f"{name!r} is no GPU that NVML lists and CUDA shows here")
        found += [gpu for gpu in match if gpu not in found]
    if any(gpu.shared for gpu in found):
        warnings.append(_SHARED)
    guessed = cuda_uuids is None and by_ordinal and depends_on_order(environment, gpus, ordinal=True) and _differ(gpus)
    if guessed:
        warnings.append(GUESSED_ORDER)
    return Visible(tuple(found), tuple(dict.fromkeys(warnings)))


def _as_the_driver_says(uuids: Sequence[str], gpus: Sequence[Gpu], warnings: list[str]) -> list[_Choice]:
    chosen: list[_Choice] = []
    for uuid in uuids:
        whole = [_whole_or_first_slice(gpu) for gpu in gpus if _hex(gpu.uuid) == _hex(uuid)]
        slices = [(gpu, mig, True) for gpu in gpus for mig in gpu.mig_uuids if _hex(mig) == _hex(uuid)]
        if not (whole or slices):
            warnings.append(f"CUDA shows a device {uuid} that NVML does not list: it cannot be metered")
        chosen += [*whole, *slices][:1]
    return chosen


def _hex(uuid: str) -> str:
    """A UUID without its kind and its hyphens: the CUDA driver and NVML spell the same one differently."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-").replace("-", "")
