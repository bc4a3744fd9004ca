"""The predicted matrix as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from rich.console import Console


def print_plan(prediction: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what :func:`greenbench.plan.predict` returned, one row a trial in the order of running, to stdout."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    budget = prediction["budget"]
    table = Table(
        title=f"{prediction['suite']}: {budget['kind']} = {budget['limit']:g} for each of the trained",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        caption="predicted; " + "; ".join(prediction["guessed"]),
        caption_justify="left",
    )
    table.add_column("trial", no_wrap=True)
    for name in ("training", "audio h", "steps", "FLOPs", "memory", "evaluate", "kWh"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in prediction["trials"]:
        table.add_row(trial["folder"], *_cells(trial))
    table.add_section()
    total = prediction["total"]
    table.add_row(f"{total['trials']} trials", *_cells({"audio_hours": None, "steps": None, **total}))
    console.print(table)


def _cells(row: Mapping[str, Any]) -> list[str]:
    hours, steps, kwh = row["audio_hours"], row["steps"], row["energy_kwh"]
    return [
        format_duration(row["seconds"]) if row["seconds"] else "",
        f"{hours:.2f}" if hours else "",
        str(steps) if steps else "",
        format_si(row["flops"], "") if row["flops"] else "",
        format_bytes(row["peak_memory_bytes"]),
        format_duration(row["evaluate_seconds"]) if row["evaluate_seconds"] else "",
        "" if kwh is None else f"{kwh:.2g}",
    ]
