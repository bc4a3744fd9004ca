"""All figures of one setting."""

from __future__ import annotations

from dataclasses import dataclass

from greenbench.report.arms import Setting
from greenbench.report.figures.canvas import Figure
from greenbench.report.figures.curves import learning_curves
from greenbench.report.figures.phases import breakdown
from greenbench.report.figures.power import timelines
from greenbench.report.figures.tradeoff import tradeoffs


@dataclass(frozen=True)
class Drawn:
    """The figures of one setting."""

    tradeoff: list[Figure]
    curves: list[Figure]
    power: list[Figure]
    phases: list[Figure]

    @property
    def all(self) -> list[Figure]:
        """All figures in page order."""
        return [*self.tradeoff, *self.curves, *self.power, *self.phases]


def draw(setting: Setting) -> Drawn:
    """Draw what the setting's trials have data for."""
    phases = breakdown(setting)
    return Drawn(
        tradeoffs(setting), learning_curves(setting), timelines(setting), [phases] if phases is not None else []
    )
