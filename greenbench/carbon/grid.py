"""Which grid a run draws from: the user's figure, the hours of a CSV, a live zone or a region, and what steps in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenbench.carbon.factors import Factor, factor_for
from greenbench.carbon.hourly import HourlyFactors, Interval, read_hourly
from greenbench.carbon.live import live_factor
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError


@dataclass(frozen=True)
class Grid:
    """One factor for all of a run, or the hours of a CSV with the factor that steps in where they do not reach."""

    factor: Factor | None
    hours: HourlyFactors | None = None
    warnings: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything is stated about the grid."""
        return self.factor is not None or self.hours is not None

    def at(self, t_s: float | None = None) -> Factor | None:
        """The factor of a moment (seconds since 1970; default: now); None where it is unknown."""
        moment = self.hours.at(time.time() if t_s is None else t_s) if self.hours else None
        return moment or self.factor

    def forecast(self) -> Factor | None:
        """The factor to plan with: of now, else the mean of the hours."""
        return self.at() or (self.hours.mean() if self.hours else None)

    def over(self, intervals: Sequence[Interval]) -> tuple[Factor | None, list[str]]:
        """The factor of a run that has ended, and warnings.

        Where the CSV's hours do not reach, the region's factor steps in; without one there is no factor.
        """
        if self.hours is None:
            return self.factor, []
        try:
            return self.hours.spent(intervals), []
        except ConfigError as error:
            remedy = "give [carbon] hourly_csv a file with those hours"
            return self.factor, [f"{error}; {_instead(self.factor, remedy)}"]


def find_grid(settings: CarbonSection, *, cache_dir: Path | None = None, now_s: float | None = None) -> Grid:
    """Look up what ``[carbon]`` names. A live zone that gives no answer is a warning, never an error.

    Args:
        settings: see :class:`greenbench.config.CarbonSection`.
        cache_dir: where live answers are kept; default: greenbench's cache.
        now_s: the time for the age of a cached answer; default: now.

    Raises:
        ConfigError: an unknown region or an unreadable CSV.
    """
    if settings.intensity_g_per_kwh is not None:
        return Grid(factor_for(settings.region, settings.intensity_g_per_kwh))
    table = factor_for(settings.region)
    if settings.hourly_csv:
        return Grid(table, read_hourly(settings.hourly_csv, settings.region or ""))
    if settings.live_zone:
        try:
            return Grid(live_factor(settings.live_zone, cache_dir=cache_dir, now_s=now_s))
        except ConfigError as error:
            text = f"[carbon] live_zone = {settings.live_zone!r}: {error}; {_instead(table, '')}"
            return Grid(table, warnings=(text,))
    return Grid(table)


def _instead(table: Factor | None, remedy: str) -> str:
    if table is not None:
        return f"the factor of {table.region} ({table.source}, {table.date}) stands in"
    first = f"{remedy}, or " if remedy else ""
    return f"no emissions figure: {first}name a region that steps in (region = 'FRA')"
