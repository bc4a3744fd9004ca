"""``sensors.json``: which sensors a trial's sampler read, with the GPUs among them."""

from __future__ import annotations

from dataclasses import dataclass

from greenbench.power.samples import DeviceInfo


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
