"""What may be claimed against the baseline; the statistics live in ``greenbench.compare`` and ``greenbench.stats``."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greenbench.metrics import METRICS, format_value
from greenbench.records import Trial
from greenbench.report.arm_cells import arm_cell
from greenbench.report.arms import Arm, Setting, number
from greenbench.report.view import Cell, Head, Row, TableView, metric_cell
from greenbench.units import format_si

if TYPE_CHECKING:
    from greenbench.compare import Comparison

_ENERGY = "energy_budgeted_j"


@dataclass(frozen=True)
class Claims:
    """Comparisons with the baseline by ``(arm label, metric)``; pairs that were not tested are missing."""

    found: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def verdict(self, label: str, metric: str) -> str:
        """Return the verdict, or an empty string where nothing was tested."""
        comparison = self.found.get((label, metric))
        return comparison.verdict if comparison else ""

    def get(self, label: str, metric: str) -> Comparison | None:
        """Return the whole comparison."""
        return self.found.get((label, metric))


def claims_of(setting: Setting) -> Claims:
    """Compare every contestant with the baseline, metric by metric."""
    from greenbench.compare import compare_arms

    base = setting.baseline
    if base is None or not base.counted:
        return Claims()
    found = {}
    for arm in setting.contestants:
        if arm is not base and arm.counted:
            for comparison in compare_arms(base.counted, arm.counted):
                found[arm.label, comparison.metric] = comparison
    return Claims(found)


def claims_table(setting: Setting, claims: Claims) -> TableView:
    """List the tests behind the marks, with p, the smallest p attainable and the reason of each verdict."""
    rows = []
    for (label, metric), c in claims.found.items():
        seeds = str(c.n) if c.n_base == c.n_new else f"{c.n_new} / {c.n_base}"
        rows.append(
            Row(
                (
                    Cell(label),
                    Cell(METRICS[metric].label),
                    Cell(seeds, c.n),
                    Cell(signed(metric, c.difference)),
                    Cell(_bounds(metric, c)),
                    Cell("" if c.p is None else f"{c.p:.3g}", c.p),
                    Cell("" if c.p_floor is None else f"{c.p_floor:.2g}", c.p_floor),
                    Cell(c.verdict),
                    Cell(c.reason),
                )
            )
        )
    base = setting.baseline.label if setting.baseline else "the baseline"
    heads = (
        Head("Model"),
        Head("Figure"),
        Head("Runs"),
        Head(f"Minus {base}"),
        Head("95 % interval"),
        Head("p"),
        Head("Smallest p"),
        Head("Verdict"),
        Head("Why"),
    )
    return TableView("Tests behind the marks", heads, tuple(rows), text=(0, 1, 7, 8))


def signed(metric: str, value: float) -> str:
    """Format a difference with its sign; differences of percentages are points."""
    if METRICS[metric].unit == "%":
        return f"{value:+.1f} points".replace("-", "−")
    text = format_value(metric, abs(value))
    return f"{'−' if value < 0 else '+'}{text}"


def _bounds(metric: str, c: Comparison) -> str:
    if c.low is None or c.high is None or c.test == "counted":
        return ""
    return f"{signed(metric, c.low)} to {signed(metric, c.high)}"


def target_of(setting: Setting) -> tuple[str, float] | None:
    """Return the headline metric and the baseline's final mean in it: the target that the others are to reach."""
    name = setting.headline
    value = setting.baseline.mean(name) if setting.baseline and name else None
    return (name, value) if name and value is not None else None


def targets_note(setting: Setting) -> str:
    """Say which target."""
    target = target_of(setting)
    if target is None or setting.baseline is None:
        return ""
    name, value = target
    return (
        f"Joules until the {METRICS[name].label} that {setting.baseline.label} ends with, "
        f"{format_value(name, value)}. A run "
        "that misses it has infinite energy to target; “at most” marks runs probed only at their end."
    )


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
    base = setting.baseline.mean(_ENERGY) if setting.baseline else None
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


def energy_to(trial: Trial, name: str, target: float) -> tuple[float, bool] | None:
    """Return the joules at which a trial first reached ``target`` and whether only its end was probed."""
    from greenbench.stats import energy_to_target

    final, energy = number(trial.row.get(name)), number(trial.row.get(_ENERGY))
    if final is None or energy is None:
        return None
    sign = -1 if METRICS[name].direction == "higher" else 1
    probed = [
        (joules, sign * error)
        for record in trial.curve
        if (joules := number(record.get("joules"))) is not None and (error := number(record.get(name))) is not None
    ]
    return energy_to_target([*probed, (energy, sign * final)], sign * target), not probed
