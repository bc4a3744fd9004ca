"""Comparisons as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.compare.ladder import FIGURES
from greenbench.metrics import METRICS, format_value
from greenbench.stats.verdicts import BETTER, NOT_ENOUGH, WORSE
from greenbench.units import format_bytes

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


def print_ladder(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what :func:`greenbench.compare.ladder` returned, one row a step, to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    quality = next((name for name, m in METRICS.items() if m.quality and name in result["steps"][-1]["means"]), None)
    shown = [name for name in (quality, *FIGURES) if name]
    table = Table(title="Each step against the one below it", title_justify="left")
    table.add_column("step")
    for name in shown:
        table.add_column(METRICS[name].label + _ARROW.get(METRICS[name].direction, ""), justify="right")
    table.add_column("memory, one crop", justify="right")
    table.add_column("n", justify="right")
    table.add_column("against the step below")
    for row in result["steps"]:
        figures = [format_value(name, row["means"].get(name)) for name in shown]
        change = next((c for c in row["comparisons"] if c["metric"] == quality), None)
        memory = format_bytes(row["memory_counted_bytes"])
        table.add_row(row["label"], *figures, memory, str(row["n"]), _step(change))
    console.print(table)
    console.print(
        f"Verdicts on {METRICS[quality].label if quality else 'quality'}: p ≤ {result['alpha']:g} (exact permutation "
        f"test, {result['correction']}) and a difference above the practical threshold. All metrics: --json. Memory "
        "is counted, not measured.",
        style="dim",
    )
    for note in result["notes"]:
        console.print(f"Note: {note}")


def print_own_random(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what :func:`greenbench.compare.own_random` returned, one row a model, to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    measured = {c["metric"] for entry in result["models"] for c in entry["comparisons"]}
    quality = next((name for name in METRICS if name in measured), None)
    headline = METRICS[quality].label + _ARROW.get(METRICS[quality].direction, "") if quality else "quality"
    table = Table(title=f"Each model against its own random weights: {headline}", title_justify="left")
    table.add_column("model")
    table.add_column("random weights", justify="right")
    table.add_column("trained", justify="right")
    table.add_column("n", justify="right")
    table.add_column("trained against random")
    for entry in result["models"]:
        found = next((c for c in entry["comparisons"] if c["metric"] == quality), None)
        means = ["" if found is None else format_value(found["metric"], found[side]) for side in ("base", "new")]
        table.add_row(entry["label"], *means, str(entry["n"]), _step(found))
    console.print(table)
    console.print(
        f"A claim needs p ≤ {result['alpha']:g} (exact permutation test, {result['correction']}) and a difference "
        "above the practical threshold. All quality metrics: --json.",
        style="dim",
    )
    for note in result["notes"]:
        console.print(f"Note: {note}")


def _step(c: Mapping[str, Any] | None) -> str:
    if c is None:
        return ""
    style = _STYLE.get(c["verdict"], "")
    verdict = f"[{style}]{c['verdict']}[/{style}]" if style else c["verdict"]
    return f"{verdict}, {_difference(c)}\n{c['reason']}"


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
    text = _signed(c["metric"], c["difference"])
    if c["low"] is None or c["test"] == "counted":
        return text
    return f"{text} [{_signed(c['metric'], c['low'])}, {_signed(c['metric'], c['high'])}]"


def _signed(name: str, value: float) -> str:
    """Format a difference with its sign; percentages differ by points."""
    if METRICS[name].unit == "%":
        return f"{value:+.1f} points"
    return ("+" if value > 0 else "") + format_value(name, value)
