"""The energy that each arm needed to reach a target error."""

from __future__ import annotations

import math
import statistics

from greenbench.report.arms import Arm, Setting
from greenbench.report.claims import energy_to, target_of
from greenbench.report.ranking import ENERGY
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell, metric_cell
from greenbench.units import format_si


def targets_table(setting: Setting) -> TableView:
    """List the energy that each contestant needed to reach the baseline's final error."""
    target = target_of(setting)
    if target is None:
        return TableView("Energy to target")
    name, value = target
    others = [arm for arm in setting.contestants if arm is not setting.baseline]
    rows = [row for arm in others if (row := _target_row(arm, setting, name, value)) is not None]
    heads = (
        Head("Model"),
        Head("Runs that reach it"),
        Head("Energy to target, median", "lower"),
        Head("Ratio to the baseline's energy"),
    )
    return TableView("Energy to target", heads, tuple(rows))


def _target_row(arm: Arm, setting: Setting, name: str, target: float) -> Row | None:
    found = [cost for trial in arm.counted if (cost := energy_to(trial, name, target)) is not None]
    if not found:
        return None
    reached = [joules for joules, _ in found if math.isfinite(joules)]
    median = statistics.median(joules for joules, _ in found)
    base = setting.baseline.mean(ENERGY) if setting.baseline else None
    text = "not reached" if not math.isfinite(median) else format_si(median, "J")
    if math.isfinite(median) and any(end_only for _, end_only in found):
        text = f"at most {text}"
    ratio = median / base if base and math.isfinite(median) else None
    cells = (
        arm_cell(arm),
        Cell(f"{len(reached)} of {len(found)}", len(reached)),
        Cell(text, median if math.isfinite(median) else 1e300),
    )
    return Row((*cells, metric_cell("", None) if ratio is None else Cell(f"× {ratio:.2f}", ratio)))
