"""Comparisons as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.metrics import METRICS, format_value
from greenbench.stats.verdicts import BETTER, NOT_ENOUGH, WORSE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLE = {BETTER: "bold green", WORSE: "bold red", NOT_ENOUGH: "yellow"}
_ARROW = {"lower": " ↓", "higher": " ↑"}


def print_comparisons(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what :func:`greenbench.compare.compare` returned, one table per pair of models, to stdout."""
    from rich.console import Console

    console = console or Console()
    pairs = dict.fromkeys((c["base_label"], c["new_label"]) for c in result["comparisons"])
    for pair in pairs:
        rows = [c for c in result["comparisons"] if (c["base_label"], c["new_label"]) == pair]
        console.print(_table(f"{pair[1]} against {pair[0]}", rows))
    if not pairs:
        console.print("No metric is on both sides.")
    console.print(
        f"A claim needs p ≤ {result['alpha']:g} (exact permutation test, {result['correction']}) and a difference "
        "above the practical threshold; an energy gain also needs quality that is shown to be no worse.",
        style="dim",
    )
    for note in result["notes"]:
        console.print(f"Note: {note}")


def _table(title: str, rows: list[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("metric", "base", "new"):
        table.add_column(name)
    table.add_column("difference [95 %]")
    table.add_column("n", justify="right")
    table.add_column("p (floor)")
    table.add_column("verdict")
    for c in rows:
        metric = METRICS[c["metric"]]
        style = _STYLE.get(c["verdict"], "")
        table.add_row(
            metric.label + _ARROW.get(metric.direction, ""),
            format_value(metric.name, c["base"]),
            format_value(metric.name, c["new"]),
            _difference(c),
            str(c["n"]) if c["n_base"] == c["n_new"] else f"{c['n_base']}/{c['n_new']}",
            "" if c["p"] is None else f"{c['p']:.3g} ({c['p_floor']:.2g})",
            f"[{style}]{c['verdict']}[/{style}]\n{c['reason']}" if style else f"{c['verdict']}\n{c['reason']}",
        )
    return table


def _difference(c: Mapping[str, Any]) -> str:
    name = c["metric"]
    text = ("+" if c["difference"] > 0 else "") + format_value(name, c["difference"])
    if c["low"] is None or c["test"] == "counted":
        return text
    return f"{text} [{format_value(name, c['low'])}, {format_value(name, c['high'])}]"
