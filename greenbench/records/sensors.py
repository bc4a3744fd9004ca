"""``sensors.json``: which sensors a trial's sampler read, with the GPUs among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from greenbench.power.samples import DeviceInfo
from greenbench.schema import build

_DETAILS = ("name", "uuid", "pci_bus_id", "index", "driver", "power_limit_w", "mig")


@dataclass(frozen=True)
class Gpu:
    """A card whose joules are the trial's. ``shared`` is true of a slice: the joules are the whole card's."""

    name: str | None = None
    uuid: str | None = None
    pci_bus_id: str | None = None
    index: int | None = None
    driver: str | None = None
    power_limit_w: float | None = None
    mig: bool | str | None = None
    shared: bool = False
    source: str = ""


@dataclass(frozen=True)
class SourceStatus:
    """A source of power readings: whether it can be read here, why not, and its devices."""

    name: str
    available: bool = False
    reason: str = ""
    devices: tuple[DeviceInfo, ...] = ()


@dataclass(frozen=True)
class Sensors:
    """What the sampler found when the trial's last session began; ``hz`` is its rate."""

    sources: tuple[SourceStatus, ...] = ()
    hz: float | None = None
    warnings: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()


def sensors_of(ready: Mapping[str, object]) -> Sensors:
    """Read what a sampler says when it is ready; a driver that does not tell a card's limit or MIG mode leaves None."""
    found = build(Sensors, ready, "power sampler", lenient=True)
    gpus = (
        Gpu(**{key: info.details.get(key) for key in _DETAILS}, shared=info.shared, source=source.name)
        for source in found.sources
        for info in source.devices
        if info.part == "gpu"
    )
    return replace(found, gpus=tuple(gpus))
