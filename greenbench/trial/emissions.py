"""What a trial emitted: the grid over the hours of its sessions, the hardware in use, and R of its SCI."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greenbench.carbon import Account, Grid, HourlyFactors, Interval, account, read_hourly
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.power.journal.trace import Trace
from greenbench.records import CarbonPlan, Event, Outcome, Trial
from greenbench.units import JOULES_PER_KWH, SECONDS_PER_HOUR

Hours = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Emissions:
    """What a trial emitted, and the rows of an hourly CSV that it was counted with (empty without one)."""

    account: Account
    hours: Hours


def carbon_plan(grid: Grid, settings: CarbonSection) -> CarbonPlan | None:
    """Say what is known of the grid when a trial begins; None where the suite states nothing."""
    if not grid.known and not grid.warnings:
        return None
    now = grid.at()
    hourly = settings.hourly_csv if grid.hours is not None else None
    return CarbonPlan(
        now=now,
        factor=grid.factor,
        pue=settings.pue,
        g_per_joule=now.g_per_kwh / JOULES_PER_KWH if now else None,
        warnings=tuple(grid.warnings),
        hourly_csv=str(Path(hourly).resolve()) if hourly else None,
    )


def present_rate(plan: CarbonPlan | None) -> Callable[[], float | None]:
    """Give a budget's ledger the grams per joule of the present hour, whenever it asks.

    An hour that the CSV lacks counts as the last known one, at first as the one in which the trial began.
    """
    if plan is None:
        return lambda: None
    last = [plan.g_per_joule]
    try:
        grid = Grid(plan.factor, read_hourly(plan.hourly_csv)) if plan.hourly_csv else None
    except ConfigError:  # the same file is read when the trial has ended, and what is wrong is said there
        grid = None

    def rate() -> float | None:
        now = grid.at() if grid is not None else None
        last[0] = now.g_per_kwh / JOULES_PER_KWH if now is not None else last[0]
        return last[0]

    return rate


def trial_emissions(
    trial: Trial, outcome: Outcome, events: Sequence[Event], trace: Trace, energy_j: float | None
) -> Emissions:
    """Count the emissions of a trial that has ended, of the ``energy_j`` joules it used."""
    settings = trial.config.carbon if trial.config else CarbonSection()
    intervals = sessions_on_the_wall(events, trace)
    grid = _grid(trial, intervals)
    factor, missing = grid.over(intervals)
    hours: Hours = trial.hours
    if grid.hours is not None and not missing and not hours:
        hours = tuple(grid.hours.within(intervals[0].begin_s, intervals[-1].end_s))
    if trial.control and not outcome.audio_s and settings.sci_unit == "audio_hour":
        settings = replace(settings, sci_unit=None, sci_units=None)  # a control trains on nothing
    found = account(
        settings,
        factor,
        energy_j=energy_j,
        duration_s=sum(s.end_s - s.begin_s for s in intervals),
        gpus=_gpus(trial, outcome),
        counted={"trial": 1.0, "audio_hour": outcome.audio_s / SECONDS_PER_HOUR if outcome.audio_s else None},
    )
    planned = trial.carbon_plan.warnings if trial.carbon_plan else ()
    return Emissions(replace(found, warnings=[*planned, *grid.warnings, *missing, *found.warnings]), hours)


def sessions_on_the_wall(events: Sequence[Event], trace: Trace) -> list[Interval]:
    """Place each session's begin and end on the wall clock, as it stood when the session began."""
    found: list[Interval] = []
    offset_s, begin_s = 0.0, 0.0
    for event in events:
        mono_s = event.t_mono_ns / 1e9
        if event.kind == "session":
            offset_s = (event.t_wall_s or time.time()) - mono_s
            begin_s = mono_s + offset_s
            found.append(Interval(begin_s, begin_s, _energy_of(trace, offset_s)))
        elif found and event.kind != "warning":
            found[-1] = Interval(begin_s, mono_s + offset_s, found[-1].energy_j)
    return found


def _energy_of(trace: Trace, offset_s: float) -> Callable[[float, float], float | None]:
    def energy_j(begin_s: float, end_s: float) -> float | None:
        edges = (round((moment - offset_s) * 1e9) for moment in (begin_s, end_s))
        return trace.window(*edges, across_holes=True).energy_j

    return energy_j


def _grid(trial: Trial, intervals: Sequence[Interval]) -> Grid:
    """Take the grid that the manifest recorded; the CSV is read again only for hours that are not kept yet."""
    plan = trial.carbon_plan or CarbonPlan()
    if not plan.hourly_csv or not intervals:
        return Grid(plan.factor)
    region = plan.factor.region if plan.factor else ""
    if trial.hours:
        times, values = zip(*trial.hours, strict=True)
        hours = HourlyFactors(times, values, f"hourly CSV {Path(plan.hourly_csv).name}", region)
        if hours.covers(intervals):
            return Grid(plan.factor, hours)
    try:
        return Grid(plan.factor, read_hourly(plan.hourly_csv, region))
    except ConfigError as error:
        instead = "the region's factor stands in" if plan.factor else "no emissions figure: name a region that steps in"
        return Grid(plan.factor, warnings=(f"[carbon] hourly_csv: {error}; {instead}",))


def _gpus(trial: Trial, outcome: Outcome) -> list[str]:
    """Name the GPUs that a trial kept to itself; none where it trained on the CPU."""
    if not outcome.device.startswith("cuda"):
        return []
    return [gpu.name or "" for gpu in trial.sensors.gpus] or [outcome.gpu]
