"""What is found out about one device's window on the way to its energy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from greenbench.power.energy import Energy
from greenbench.power.journal.readings import DeviceReadings


@dataclass
class Findings:
    """What is found out about one device's window on the way to its energy."""

    readings: DeviceReadings
    begin_s: float
    end_s: float
    counts: Counter[str]
    invalid: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    joules: float | None = None
    low_j: float | None = None
    high_j: float | None = None
    edge_j: float = 0.0
    counter_j: float | None = None
    integral_j: float | None = None
    ratio: float | None = None
    agree: bool | None = None

    @property
    def duration_s(self) -> float:
        """Length of the window."""
        return self.end_s - self.begin_s

    @property
    def counter_period_s(self) -> float:
        """Update period of the counter; where it is unknown, the distance of the readings."""
        return self.readings.info.update_period_s or self.readings.spacing_s

    def energy(self) -> Energy:
        """What was found, as one value."""
        problems = tuple(dict.fromkeys([*self.invalid, *self.warnings]))
        kind = self.readings.info.kind
        if self.joules is None:
            return Energy.unknown(*problems, kind=kind)
        return Energy(self.joules, self.low_j, self.high_j, self.edge_j, kind, not self.invalid, problems)
