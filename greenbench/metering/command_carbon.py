"""The emissions of a measured command: while it runs, for a budget in grams, and when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from greenbench.carbon import HINT, Account, Grid, Interval, account, gpu_names
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.units import joules_to_kwh

if TYPE_CHECKING:
    from greenbench.power.journal.trace import Trace
    from greenbench.power.sampler.process import SamplerProcess


class Grams:
    """Grams of CO2e of a growing energy, each part of it at the intensity of its moment."""

    def __init__(self, grid: Grid, clock: Callable[[], float] = time.time) -> None:
        self._grid, self._clock = grid, clock
        self._energy_j, self._grams = 0.0, 0.0
        self._rate = 0.0

    def of(self, energy_j: float) -> float:
        """The grams of ``energy_j`` joules since the start; in an unknown hour the last known one holds."""
        factor = self._grid.at(self._clock())
        self._rate = factor.g_per_kwh if factor else self._rate
        self._grams += joules_to_kwh(energy_j - self._energy_j) * self._rate
        self._energy_j = energy_j
        return self._grams


def check_carbon_budget(budget: tuple[str, float] | None, grid: Grid) -> None:
    """Refuse a budget in grams where a gram cannot be counted.

    Raises:
        ConfigError: the intensity of now is unknown.
    """
    if budget is None or budget[0] != "grams_co2e" or grid.at() is not None:
        return
    reasons = [*grid.warnings]
    if grid.hours is not None:
        reasons.append(f"{grid.hours.source} has no row for this hour")
    because = f" ({'; '.join(reasons)})" if reasons else ""
    raise ConfigError(f"measure: a budget in grams of CO2e needs --region or a grid intensity{because}")


def measured_account(
    settings: CarbonSection,
    grid: Grid,
    trace: Trace | None,
    sampler: SamplerProcess,
    window_ns: tuple[int, int],
    energy_j: float | None,
) -> Account:
    """The emissions of a command that ran in ``window_ns`` (monotonic)."""
    offset_s = time.time() - time.monotonic()
    begin_ns, end_ns = window_ns

    def joules(begin_s: float, end_s: float) -> float | None:
        if trace is None:
            return None
        return trace.window(round((begin_s - offset_s) * 1e9), round((end_s - offset_s) * 1e9)).energy_j

    interval = Interval(begin_ns / 1e9 + offset_s, end_ns / 1e9 + offset_s, joules)
    factor, missing = grid.over([interval])
    found = account(
        settings,
        factor,
        energy_j=energy_j,
        duration_s=(end_ns - begin_ns) * 1e-9,
        gpus=gpu_names(sampler.ready.get("sources") or []),
    )
    hint = [HINT] if not grid.known and not grid.warnings and energy_j is not None else []
    return Account(found.figures, found.factor, found.devices, [*grid.warnings, *missing, *hint, *found.warnings])
