"""The comparison: one row an arm, the headline error first, then what it cost."""

from __future__ import annotations

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import Claims
from greenbench.report.ranking import quality_metrics, ratio, with_controls
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell, metric_head

COSTS = (
    "energy_budgeted_j",
    "co2e_g",
    "overhead_g",
    "embodied_g",
    "sci_g",
    "pretrain_flops",
    "peak_memory_bytes",
    "params",
    "audio_h",
    "audio_s_per_s",
    "steps",
    "pretrain_s",
)


def comparison(setting: Setting, claims: Claims) -> TableView:
    """Build the comparison: one row per contestant, best headline first, with ratios, spreads and marks.

    A control stands below its model, or below all of them, with its quality only: it was given no budget, so its costs
    compare with nothing.
    """
    metrics = comparison_metrics(setting)
    heads = (Head("Model"), Head("Runs"), *(metric_head(name, _kind(setting, name)) for name in metrics))
    rows = []
    for arm in with_controls(setting):
        if arm.control:
            scored = [_compared(arm, setting.baseline, n, "") if METRICS[n].quality else Cell("") for n in metrics]
            finished = Cell(str(len(arm.counted)), len(arm.counted))
            # "eco, random weights" says what it is.
            notes = () if arm.control.startswith("random") else ("control",)
            rows.append(Row((arm_cell(arm, *notes), finished, *scored), "control"))
            continue
        is_base = arm is setting.baseline
        done, planned = len(arm.counted), len(arm.trials)
        runs = Cell(str(done) if done == planned else f"{done} of {planned}", done)
        cells = [_compared(arm, setting.baseline, name, claims.verdict(arm.label, name)) for name in metrics]
        rows.append(Row((arm_cell(arm, *(("baseline",) if is_base else ())), runs, *cells), "base" if is_base else ""))
    return TableView("Comparison of the models", heads, tuple(rows))


def comparison_metrics(setting: Setting) -> list[str]:
    """Return the columns of the comparison table."""
    costs = [name for name in COSTS if any(arm.values(name) for arm in setting.contestants)]
    quality = quality_metrics(setting)
    return quality[:1] + costs + quality[1:]


def _compared(arm: Arm, baseline: Arm | None, name: str, verdict: str) -> Cell:
    value = arm.mean(name)
    if value is None:
        return Cell("")
    notes = []
    spread = arm.spread(name)
    if spread:
        notes.append(f"± {format_value(name, spread)}")
    if arm is not baseline and (share := ratio(arm, baseline, name)) is not None:
        notes.append(f"× {share:.2f}" if share >= 0.1 else f"× {share:.3f}")
    return Cell(format_value(name, value), value, tuple(notes), verdict)


def _kind(setting: Setting, name: str) -> str:
    metric = METRICS[name]
    if metric.unit != "J":
        return metric.kind
    kinds = sorted({arm.energy_kind for arm in setting.contestants} - {""})
    return " and ".join(kinds)
