"""Emissions and money of a trial that has ended, counted again with another grid or price: nothing is trained again."""

from __future__ import annotations

from dataclasses import replace

from greenbench.carbon import Grid
from greenbench.config import CarbonSection
from greenbench.power.journal.file import JournalContents
from greenbench.power.journal.trace import Trace, read_journal
from greenbench.records import CARBON, EVENTS, MANIFEST, POWER, RESULT, Outcome, Trial, read_events, write_json
from greenbench.records.result import CarbonHours, CarbonRecord
from greenbench.trial.emissions import carbon_plan, trial_emissions
from greenbench.units import SECONDS_PER_HOUR

FIGURES = (
    *("co2e_g", "co2e_low_g", "co2e_high_g", "carbon_intensity_g_per_kwh", "carbon_source", "carbon_date", "pue"),
    *("overhead_g", "embodied_g", "embodied_source", "sci_g", "sci_units", "sci_unit"),
    *("energy_price_per_kwh", "energy_cost"),
)
"""The columns of a trial's row that follow from its joules and ``[carbon]`` alone."""


def recounted(trial: Trial, settings: CarbonSection, grid: Grid | None) -> Trial:
    """Count a trial's emissions and money anew under ``settings``; joules and scores stay as they are.

    ``grid`` None is the one that the trial had. Returns the trial with another ``[carbon]``; nothing is written.
    """
    manifest = trial.manifest
    if manifest.config is None:
        return trial
    plan = manifest.carbon if grid is None else carbon_plan(grid, settings)
    changed = replace(
        trial,
        manifest=replace(manifest, carbon=plan, config=replace(manifest.config, carbon=settings)),
        hours=trial.hours if settings.hourly_csv == manifest.config.carbon.hourly_csv else (),
    )
    if trial.result is None:
        return changed
    trace = read_journal(trial.path / POWER) if settings.hourly_csv else Trace(JournalContents([]))
    emitted = trial_emissions(
        changed, _outcome(trial), read_events(trial.path / EVENTS), trace, trial.energy.total.energy_j
    )
    found = emitted.account
    kept = {key: value for key, value in trial.result.row.items() if key not in FIGURES}
    warnings = [text for text in trial.result.warnings if not text.startswith("[carbon]")]
    result = replace(
        trial.result,
        row={**kept, **found.figures},
        carbon=CarbonRecord(found.factor, tuple(found.devices), found.figures),
        warnings=tuple(dict.fromkeys([*warnings, *found.warnings])),
    )
    return replace(changed, result=result, hours=emitted.hours)


def recount(trial: Trial, settings: CarbonSection, grid: Grid) -> None:
    """Write what :func:`recounted` finds into the trial's manifest and result.

    Raises:
        OutputError: a file cannot be written.
    """
    folder, changed = trial.path, recounted(trial, settings, grid)
    changed.manifest.write(folder / MANIFEST)
    if changed.result is None:
        return
    if changed.hours:
        write_json(folder / CARBON, CarbonHours(changed.hours))
    else:
        (folder / CARBON).unlink(missing_ok=True)
    write_json(folder / RESULT, changed.result)


def _outcome(trial: Trial) -> Outcome:
    """What emissions need of an outcome, from the result: folders of early versions keep none."""
    audio_h = trial.figure("audio_h")
    return Outcome(
        device=trial.ran_on.device, gpu=trial.ran_on.gpu or "", audio_s=audio_h * SECONDS_PER_HOUR if audio_h else 0.0
    )
