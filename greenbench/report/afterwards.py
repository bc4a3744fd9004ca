"""A grid or a price named after the fact: emissions and money of finished runs, counted for the report alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from greenbench.carbon import find_grid
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.records import Trial
from greenbench.trial.recount import recounted


@dataclass(frozen=True)
class Afterwards:
    """What to count with in place of what the run folders say; None leaves it as it is."""

    region: str | None = None
    intensity_g_per_kwh: float | None = None
    price_per_kwh: float | None = None

    @property
    def stated(self) -> bool:
        """Whether anything is."""
        return self != Afterwards()

    def applied(self, trials: Sequence[Trial]) -> list[Trial]:
        """Count each trial's emissions and money anew; folders are only read.

        Raises:
            ConfigError: an unknown region, or a figure below 0.
        """
        return [self._applied(trial) for trial in trials] if self.stated else list(trials)

    def note(self) -> str:
        """Say on the page what was named afterwards."""
        grid = self.region or (f"{self.intensity_g_per_kwh:g} g/kWh" if self.intensity_g_per_kwh is not None else "")
        price = "" if self.price_per_kwh is None else f"a price of {self.price_per_kwh:g} per kWh"
        named = " and ".join(text for text in (grid and f"the grid of {grid}", price) if text)
        return f"Counted for this report with {named}; the run folders are unchanged."

    def _applied(self, trial: Trial) -> Trial:
        if trial.config is None:
            return trial
        settings = trial.config.carbon
        try:
            if self.region is not None or self.intensity_g_per_kwh is not None:
                settings = replace(
                    settings,
                    region=self.region or settings.region,
                    intensity_g_per_kwh=self.intensity_g_per_kwh,
                    hourly_csv=None,
                    live_zone=None,
                )
                return recounted(trial, self._priced(settings), find_grid(settings))
            return recounted(trial, self._priced(settings), None)
        except ValueError as error:
            raise ConfigError(f"report: {error}") from error

    def _priced(self, settings: CarbonSection) -> CarbonSection:
        return settings if self.price_per_kwh is None else replace(settings, price_per_kwh=self.price_per_kwh)
