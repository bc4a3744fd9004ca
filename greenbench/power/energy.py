"""One value for energy wherever it goes, from a device's window to a page: joules, range, kind, and what is wrong.

Two sums, because two questions are asked of parts. ``total`` is exact: where one part is unknown, the sum is. ``known``
adds what there is, says what is missing, and is then no longer valid. Absent energy is None in both, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from greenbench.power.samples import MIXED


def mix_kinds(kinds: Iterable[str | None]) -> str | None:
    """The kind of a whole whose parts are of these kinds: theirs where they agree, else mixed; None is no part."""
    known = {kind for kind in kinds if kind is not None}
    return known.pop() if len(known) == 1 else MIXED if known else None


@dataclass(frozen=True)
class Energy:
    """Energy of something in some time.

    ``joules`` is None where it is unknown; nothing is then said of its range either, and it is not valid.
    ``low_j .. high_j`` is what the meter leaves open: edges, the sensor's tolerance, a model's range; without them the
    figure counts as exact in sums. ``edge_j`` is the edges' part of it. ``kind`` is measured, modelled or mixed.
    ``valid`` is False where the figure must not be used; ``problems`` says why, and what else is worth knowing.

    Raises:
        ValueError: an unknown energy that claims a range or to be valid.
    """

    joules: float | None
    low_j: float | None = None
    high_j: float | None = None
    edge_j: float = 0.0
    kind: str | None = None
    valid: bool = True
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        claims = (self.low_j is not None, self.high_j is not None, self.edge_j != 0.0, self.valid)
        if self.joules is None and any(claims):
            raise ValueError("an unknown energy has no range and is not valid")

    @classmethod
    def unknown(cls, *problems: str, kind: str | None = None) -> Energy:
        """Energy that nobody recorded, and why."""
        return cls(None, kind=kind, valid=False, problems=problems)

    @property
    def uncertainty_j(self) -> float | None:
        """The wider side of the range; None where there is none."""
        if self.joules is None:
            return None
        sides = [abs(side - self.joules) for side in (self.low_j, self.high_j) if side is not None]
        return max(sides, default=None)

    def __add__(self, other: Energy) -> Energy:
        """Both together; unknown where one of them is."""
        kind = mix_kinds((self.kind, other.kind))
        problems = tuple(dict.fromkeys(self.problems + other.problems))
        if self.joules is None or other.joules is None:
            return Energy.unknown(*problems, kind=kind)
        return Energy(
            self.joules + other.joules,
            _plus(self.low_j, other.low_j, self.joules, other.joules),
            _plus(self.high_j, other.high_j, self.joules, other.joules),
            self.edge_j + other.edge_j,
            kind,
            self.valid and other.valid,
            problems,
        )

    def flawed(self, *problems: str) -> Energy:
        """The same figure, not to be used, for these reasons."""
        return replace(self, valid=False, problems=tuple(dict.fromkeys(self.problems + problems)))

    def scaled(self, factor: float) -> Energy:
        """The same energy a number of times, its range in proportion."""
        low, high = ((side if side is None else side * factor) for side in (self.low_j, self.high_j))
        joules = None if self.joules is None else self.joules * factor
        return replace(self, joules=joules, low_j=low, high_j=high, edge_j=self.edge_j * factor)

    @staticmethod
    def total(parts: Iterable[Energy]) -> Energy:
        """All parts together; unknown where one of them is, or where there is none."""
        found = list(parts)
        if not found:
            return Energy.unknown()
        whole = found[0]
        for part in found[1:]:
            whole = whole + part
        return whole

    @staticmethod
    def known(parts: Iterable[Energy]) -> Energy:
        """What is known of all parts together: not valid where one is unknown, unknown where all are."""
        found = list(parts)
        told = [part for part in found if part.joules is not None]
        problems = tuple(dict.fromkeys(problem for part in found for problem in part.problems))
        if not told:
            return Energy.unknown(*problems)
        whole = Energy.total(told)
        return replace(whole, valid=whole.valid and len(told) == len(found), problems=problems)


def _plus(one: float | None, other: float | None, one_joules: float, other_joules: float) -> float | None:
    if one is None and other is None:
        return None
    return (one_joules if one is None else one) + (other_joules if other is None else other)


class HasEnergy:
    """Something with an ``energy``, and the flat names under which a user of the meter reads it."""

    energy: Energy

    @property
    def energy_j(self) -> float | None:
        """Joules; None where nothing was recorded."""
        return self.energy.joules

    @property
    def energy_low_j(self) -> float | None:
        """The low end of the range."""
        return self.energy.low_j

    @property
    def energy_high_j(self) -> float | None:
        """The high end of the range."""
        return self.energy.high_j

    @property
    def uncertainty_j(self) -> float | None:
        """The wider side of the range: edges and the sensor's tolerance, or a model's range."""
        return self.energy.uncertainty_j

    @property
    def edge_j(self) -> float | None:
        """What the window's edges leave open; None where nothing was recorded."""
        return None if self.energy.joules is None else self.energy.edge_j

    @property
    def kind(self) -> str | None:
        """Measured, modelled or mixed; of a whole, None where nothing was recorded."""
        return self.energy.kind

    @property
    def valid(self) -> bool:
        """Whether the figure may be used."""
        return self.energy.valid

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it must not be used, and everything else worth knowing."""
        return self.energy.problems
