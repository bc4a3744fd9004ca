"""The predicted matrix as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 100
_COLUMNS = ("training", "audio h", "steps", "FLOPs", "memory", "evaluate", "kWh")
_LESS = ("audio h", "evaluate")
"""Left out on a narrow terminal."""


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
    names = [name for name in _COLUMNS if console.width >= WIDE or name not in _LESS]
    table.add_column("trial", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for trial in prediction["trials"]:
        cells = _cells(trial)
        table.add_row(trial["folder"], *(cells[name] for name in names))
    table.add_section()
    total = prediction["total"]
    cells = _cells({"audio_hours": None, "steps": None, **total})
    table.add_row(f"{total['trials']} trials", *(cells[name] for name in names))
    console.print(table)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    hours, steps, kwh = row["audio_hours"], row["steps"], row["energy_kwh"]
    values = (
        format_duration(row["seconds"] or None),
        f"{hours:.2f}" if hours else "",
        str(steps) if steps else "",
        format_si(row["flops"] or None, ""),
        format_bytes(row["peak_memory_bytes"]),
        format_duration(row["evaluate_seconds"]),
        "" if kwh is None else f"{kwh:.2g}",
    )
    return dict(zip(_COLUMNS, values, strict=True))
