"""The tests behind the marks: differences, intervals, p and the smallest p that so many runs can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenbench.metrics import METRICS
from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.tables.cells import Cell, Head, Row, TableView
from greenbench.report.text.amounts import signed

if TYPE_CHECKING:
    from greenbench.compare import Comparison


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
                    Cell("does not count" if (label, metric) in claims.void else c.verdict),
                    Cell(claims.void.get((label, metric), c.reason)),
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


def _bounds(metric: str, c: Comparison) -> str:
    if c.low is None or c.high is None or c.test == "counted":
        return ""
    return f"{signed(metric, c.low)} to {signed(metric, c.high)}"
