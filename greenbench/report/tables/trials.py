"""All trials, one a row: the failed and unfinished ones, too."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.report.arms import Setting
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_swatch, metric_cell, metric_head
from greenbench.report.text.titles import setting_name

_TRIAL_METRICS = (
    "budget_spent",
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
                cells = [metric_cell(name, trial.figure(name)) for name in names]
                where = (setting_name(setting, settings),) if several else ()
                label = Cell(arm.label, notes=where, look=arm_swatch(arm))
                rows.append(Row((label, Cell(str(trial.seed), trial.seed), Cell(state), *cells)))
    heads = (Head("Model"), Head("Seed"), Head("Status"), *(metric_head(name) for name in names))
    return TableView("All trials", heads, tuple(rows), text=(0, 2))
