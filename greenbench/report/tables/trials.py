"""All trials, one a row: the failed and unfinished ones, too."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.records import Trial
from greenbench.report.arms import Setting
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_swatch, metric_cell, metric_head
from greenbench.report.text.amounts import in_currency
from greenbench.report.text.titles import setting_name
from greenbench.report.text.warnings import machine_load

_TRIAL_METRICS = (
    "budget_overshoot_pct",
    "energy_budgeted_j",
    "energy_total_j",
    "mean_power_w",
    "wall_s",
    "audio_h",
    "steps",
    "peak_memory_bytes",
)


def trials_table(settings: Sequence[Setting]) -> TableView:
    """Build the table of all trials, failed and unfinished ones included."""
    quality = [n for n in (s.headline for s in settings) if n]
    names = [*dict.fromkeys(quality), *_TRIAL_METRICS]
    several = len(settings) > 1
    rows = []
    for setting in settings:
        for arm in setting.arms:
            for trial in arm.trials:
                state = trial.status if trial.valid else "invalid"
                spent = trial.figure("budget_spent")
                cells = [
                    Cell(in_currency(trial.budget[0], spent), spent),
                    *(metric_cell(name, trial.figure(name)) for name in names),
                    _load(trial),
                ]
                where = (setting_name(setting, settings),) if several else ()
                label = Cell(arm.label, notes=where, look=arm_swatch(arm))
                rows.append(Row((label, Cell(str(trial.seed), trial.seed), Cell(state), *cells)))
    heads = (
        Head("Model"),
        Head("Seed"),
        Head("Status"),
        Head("Spent of the budget"),
        *(metric_head(name) for name in names),
        Head("Machine load", note="processes a core"),
    )
    return TableView("All trials", heads, tuple(rows), text=(0, 2))


def _load(trial: Trial) -> Cell:
    load, cores = machine_load(trial), trial.host.cores
    return Cell("") if load is None or not cores else Cell(f"{load / cores:.1f}", load / cores)
