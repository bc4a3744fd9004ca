"""The one interface of everything that can be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from greenbench.power.samples import DeviceInfo, Sample

T = TypeVar("T")

LATE_NS = 50_000_000
_TRIES = 3


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
        """Read every device once; what costs much only when it is due."""
        ...

    def read_full(self) -> list[Sample]:
        """Read every device once, and what costs much too."""
        return self.read()

    def close(self) -> None:
        """Release handles."""
        ...


class NullSource(Source):
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


def read_promptly(read: Callable[[], T]) -> tuple[T, int, int]:
    """A counter's value and the monotonic nanoseconds right before and right after it was read.

    A reading that took long says nothing about when its value was true: a reader that lost its processor for two
    seconds would move two seconds' joules. It is taken again, at most twice.
    """
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        value = read()
        after = time.monotonic_ns()
        if after - before <= LATE_NS:
            break
    return value, before, after
