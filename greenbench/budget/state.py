"""What a ledger remembers between sessions, as plain JSON, and whether a budget can be kept at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from greenbench.config import BudgetSection
from greenbench.errors import ConfigError, DataError

ENERGY_KINDS = ("joules", "grams_co2e")
CLOCKED_KINDS = ("seconds", *ENERGY_KINDS)
"""Currencies read from a clock or a sensor; the others are counted and therefore exactly repeatable."""


@dataclass(frozen=True)
class LedgerState:
    """The position of a ledger. All numbers survive JSON unchanged, so a resumed trial continues bit for bit.

    ``spent_*``, ``flops``, ``audio_s`` and ``steps`` count towards the budget; ``phases`` maps each phase to its
    seconds and joules, unbudgeted ones included; ``origin`` is the budget's position at the first pretraining step.
    Energy is None where it is unknown.
    """

    kind: str
    limit: float
    spent_ns: int = 0
    spent_j: float | None = 0.0
    flops: float = 0.0
    audio_s: float = 0.0
    steps: int = 0
    phases: dict[str, dict[str, float | None]] = field(default_factory=dict)
    charges: dict[str, dict[str, float]] = field(default_factory=dict)
    origin: float | None = None
    predictor: dict[str, Any] = field(default_factory=dict)
    spent_g: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_state(cls, table: Mapping[str, Any]) -> LedgerState:
        """Rebuild from :meth:`to_dict`; raises :class:`DataError` for anything else."""
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            return cls(**{key: value for key, value in table.items() if key in known})
        except TypeError as error:
            raise DataError(f"checkpoint: ledger state is incomplete ({error}); remove the checkpoint") from error


def check_budget(budget: BudgetSection, *, has_energy: bool, grams_per_joule: float | None) -> None:
    """Raise :class:`ConfigError` for a budget in a currency that this machine and suite cannot know."""
    if budget.kind in ENERGY_KINDS and not has_energy:
        raise ConfigError(
            f"[budget] {budget.kind} = {budget.limit:g}: no energy source can be read here, so the run could not stop "
            "there; set [power] tdp_w for modelled energy, see 'greenbench doctor', or budget seconds, flops, "
            "audio_hours or steps"
        )
    if budget.kind == "grams_co2e" and grams_per_joule is None:
        raise ConfigError(
            f"[budget] grams_co2e = {budget.limit:g}: the carbon intensity is unknown; set [carbon] region or "
            "intensity_g_per_kwh"
        )
    if budget.kind == "grams_co2e" and not (grams_per_joule or 0.0) > 0:
        raise ConfigError(
            f"[budget] grams_co2e = {budget.limit:g}: the carbon intensity is 0, so no run would ever stop; "
            "budget joules instead or set [carbon] intensity_g_per_kwh above 0"
        )
