"""The one interface of everything that can be read."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from greenbench.power.samples import DeviceInfo, Sample


@runtime_checkable
class Source(Protocol):
    """Something that can be read: a driver, a sysfs tree, a model, a recording.

    ``available`` is False for absent hardware; ``reason`` then says why and what to do. ``min_period_s`` is the
    shortest sensible time between reads. ``read`` never raises because of the hardware: a device that fails
    yields a sample whose ``event`` says so.
    """

    name: str
    available: bool
    reason: str
    devices: list[DeviceInfo]
    min_period_s: float

    def read(self) -> list[Sample]:
        """Read every device once."""
        ...

    def close(self) -> None:
        """Release handles."""
        ...


class NullSource:
    """Absent hardware: no devices, no samples, and the reason why."""

    min_period_s = 0.0

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.available = False
        self.reason = reason
        self.devices: list[DeviceInfo] = []

    def read(self) -> list[Sample]:
        """Nothing to read."""
        return []

    def close(self) -> None:
        """Nothing to release."""
