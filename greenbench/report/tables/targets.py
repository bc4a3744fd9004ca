"""The energy that each arm needed to reach a target error that nothing untrained reaches."""

from __future__ import annotations

import math
import statistics

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import Target, energy_to, target_of
from greenbench.report.ranking import ENERGY, control_name, ranked
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell
from greenbench.report.text.amounts import enumeration
from greenbench.units import format_si


def targets_table(setting: Setting) -> TableView:
    """List the energy that each contestant needed to reach the target; those that miss it are in the note."""
    target = target_of(setting)
    if target is None:
        return TableView("Energy to target")
    rows = [row for arm in ranked(setting) if (row := _target_row(arm, setting, target)) is not None]
    heads = [Head("Model"), Head("Runs that reach it"), Head("Training energy until then, median", "lower")]
    if target.control is None:
        heads.append(Head("Ratio to the baseline's training energy"))
    return TableView("Energy to target", tuple(heads), tuple(rows))


def targets_note(setting: Setting) -> str:
    """Say what the target is, why, and which models miss it."""
    target = target_of(setting)
    if target is None or setting.baseline is None:
        return ""
    metric, value = METRICS[target.metric], format_value(target.metric, target.value)
    if target.control is None:
        aim = f"Joules until the {metric.label} that {setting.baseline.label} ends with, {value}."
    else:
        free = format_value(target.metric, target.control.mean(target.metric))
        aim = (
            f"Joules until a {metric.label} of {value}: {control_name(target.control)} has {free} without any "
            f"pretraining, and {setting.baseline.label} does not end ahead of that."
        )
    missed = [arm.label for arm in ranked(setting) if (costs := _costs(arm, target)) and not any(map(_finite, costs))]
    ends = any(end_only for arm in setting.contestants for _, end_only in _costs(arm, target))
    return " ".join(
        [
            aim,
            *([f"Not reached by {enumeration(missed, 8)}: their energy to target is infinite."] if missed else []),
            *(["“At most” marks runs that were probed only at their end."] if ends else []),
        ]
    )


def _costs(arm: Arm, target: Target) -> list[tuple[float, bool]]:
    costs = (energy_to(trial, target.metric, target.value) for trial in arm.counted)
    return [cost for cost in costs if cost is not None]


def _finite(cost: tuple[float, bool]) -> bool:
    return math.isfinite(cost[0])


def _target_row(arm: Arm, setting: Setting, target: Target) -> Row | None:
    costs = _costs(arm, target)
    reached = [cost for cost in costs if _finite(cost)]
    if not reached:
        return None
    median = statistics.median(joules for joules, _ in costs)
    base = setting.baseline.mean(ENERGY) if setting.baseline and target.control is None else None
    text = format_si(median, "J") if math.isfinite(median) else "most runs miss it"
    if math.isfinite(median) and any(end_only for _, end_only in costs):
        text = f"at most {text}"
    cells = (
        arm_cell(arm),
        Cell(f"{len(reached)} of {len(costs)}", len(reached)),
        Cell(text, median if math.isfinite(median) else None),
    )
    if target.control is not None:
        return Row(cells)
    ratio = median / base if base and math.isfinite(median) else None
    return Row((*cells, Cell("" if ratio is None else f"× {ratio:.2f}", ratio)))
