"""What a trial emitted: the grid over the hours of its sessions, the hardware in use, and R of its SCI."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from greenbench.carbon import Account, Factor, Grid, HourlyFactors, Stretch, account, gpu_names, read_hourly
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.power.journal.trace import Trace
from greenbench.records import MANIFEST, write_json
from greenbench.schema import build
from greenbench.units import JOULES_PER_KWH


def carbon_table(grid: Grid, settings: CarbonSection) -> dict[str, Any] | None:
    """Return what a manifest says of the grid when a trial begins; None where nothing is stated.

    ``g_per_joule`` is what a budget in grams begins with: IT energy at the intensity of the first hour, without PUE.
    ``factor`` is the one for all of the run, or the one that steps in where the hours of ``hourly_csv`` do not reach.
    """
    if not grid.known and not grid.warnings:
        return None
    now = grid.at()
    table: dict[str, Any] = {
        **(asdict(now) if now else {}),
        "factor": asdict(grid.factor) if grid.factor else None,
        "pue": settings.pue,
        "g_per_joule": now.g_per_kwh / JOULES_PER_KWH if now else None,
        "warnings": list(grid.warnings),
    }
    if grid.hours is not None and settings.hourly_csv:
        table["hourly_csv"] = str(Path(settings.hourly_csv).resolve())
    return table


def present_rate(manifest: Mapping[str, Any]) -> Callable[[], float | None]:
    """Return what gives the grams per joule of the present hour, for a budget's ledger.

    An hour that the CSV lacks counts as the last known one, at first as the one in which the trial began.
    """
    table = manifest.get("carbon") or {}
    last: list[float | None] = [table.get("g_per_joule")]
    factor = Factor(**table["factor"]) if table.get("factor") else None
    try:
        grid = Grid(factor, read_hourly(table["hourly_csv"])) if table.get("hourly_csv") else None
    except ConfigError:  # the same file is read when the trial has ended, and what is wrong is said there
        grid = None

    def rate() -> float | None:
        now = grid.at() if grid is not None else None
        last[0] = now.g_per_kwh / JOULES_PER_KWH if now is not None else last[0]
        return last[0]

    return rate


def trial_account(
    folder: Path,
    manifest: dict[str, Any],
    outcome: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    trace: Trace,
    energy_j: float | None,
) -> Account:
    """Return the emissions of a trial that has ended, of the ``energy_j`` joules it burnt.

    The rows of an hourly CSV that the trial used are kept in ``manifest["carbon"]["hours"]``, so that its figures can
    be computed again from its folder.
    """
    settings = build(CarbonSection, manifest["config"].get("carbon") or {}, "manifest.json [carbon]")
    stretches = sessions_on_the_wall(events, trace)
    table = manifest.get("carbon") or {}
    grid = _grid(table, stretches)
    factor, missing = grid.over(stretches)
    if grid.hours is not None and not missing and not table.get("hours"):
        table["hours"] = grid.hours.within(stretches[0].begin_s, stretches[-1].end_s)
        write_json(folder / MANIFEST, manifest)
    audio_s = outcome.get("audio_s")
    if manifest.get("control") and not audio_s and settings.sci_unit == "audio_hour":
        settings = replace(settings, sci_unit=None, sci_units=None)  # a control trains on nothing
    duration_s = sum(s.end_s - s.begin_s for s in stretches)
    found = account(
        settings,
        factor,
        energy_j=energy_j,
        duration_s=duration_s,
        gpus=_gpus(manifest, outcome),
        counted={"trial": 1.0, "audio_hour": audio_s / 3600 if audio_s else None},
    )
    return replace(found, warnings=[*table.get("warnings", []), *grid.warnings, *missing, *found.warnings])


def sessions_on_the_wall(events: Sequence[Mapping[str, Any]], trace: Trace) -> list[Stretch]:
    """Return each session's begin and end by the wall clock, as it stood when the session began."""
    found: list[Stretch] = []
    offset_s, begin_s = 0.0, 0.0
    for event in events:
        mono_s = int(event["t_mono_ns"]) / 1e9
        if event.get("event") == "session":
            offset_s = float(event.get("t_wall_s") or time.time()) - mono_s
            begin_s = mono_s + offset_s
            found.append(Stretch(begin_s, begin_s, _energy_of(trace, offset_s)))
        elif found and event.get("event") != "warning":  # written when the sampler has ended: no part of the trial
            found[-1] = Stretch(begin_s, mono_s + offset_s, found[-1].energy_j)
    return found


def _energy_of(trace: Trace, offset_s: float) -> Callable[[float, float], float | None]:
    def energy_j(begin_s: float, end_s: float) -> float | None:
        edges = (round((moment - offset_s) * 1e9) for moment in (begin_s, end_s))
        return trace.window(*edges, across_holes=True).energy_j

    return energy_j


def _grid(table: Mapping[str, Any], stretches: Sequence[Stretch]) -> Grid:
    """Return the grid that a manifest recorded; the CSV is read again only for hours that are not kept yet."""
    factor = Factor(**table["factor"]) if table.get("factor") else None
    path = table.get("hourly_csv")
    if not path or not stretches:
        return Grid(factor)
    region = factor.region if factor else ""
    kept = table.get("hours") or []
    if kept:
        times, values = zip(*kept, strict=True)
        hours = HourlyFactors(times, values, f"hourly CSV {Path(path).name}", region)
        if hours.covers(stretches):
            return Grid(factor, hours)
    try:
        return Grid(factor, read_hourly(path, region))
    except ConfigError as error:
        instead = "the region's factor stands in" if factor else "no emissions figure: name a region that steps in"
        return Grid(factor, warnings=(f"[carbon] hourly_csv: {error}; {instead}",))


def _gpus(manifest: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    """Return the names of the GPUs that a trial kept to itself; none where it trained on the CPU."""
    if not str(outcome.get("device") or "").startswith("cuda"):
        return []
    listed = [str(gpu.get("name") or "") for gpu in manifest.get("gpu") or []]
    return listed or gpu_names((manifest.get("sensors") or {}).get("sources") or []) or [str(outcome.get("gpu") or "")]
