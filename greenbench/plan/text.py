"""The predicted matrix as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS = {"in all": 0, "training": 80, "audio h": 100, "steps": 0, "FLOPs": 80, "memory": 0, "kWh": 0, "gCO2e": 0}
"""The columns, and how wide a terminal each needs; gCO2e stands where the grid is known."""
WIDE = 100


def print_plan(prediction: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what :func:`greenbench.plan.predict` returned, one row a trial in the order of running, to stdout."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    budget, total = prediction["budget"], prediction["total"]
    names = [name for name, needed in _COLUMNS.items() if console.width >= needed]
    if total["co2e_g"] is None:
        names.remove("gCO2e")
    table = Table(
        title=f"{prediction['suite']}: {budget['kind']} = {budget['limit']:g} for each of the trained",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("trial", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for trial in prediction["trials"]:
        cells = _cells(trial)
        name = trial["folder"] if console.width >= WIDE else f"{trial['label']} s{trial['seed']}"
        table.add_row(name, *(cells[name] for name in names))
    table.add_section()
    cells = _cells({"audio_hours": None, "steps": None, **total})
    table.add_row(f"{total['trials']} trials", *(cells[name] for name in names))
    console.print(table)
    console.print("Predicted, not measured:")
    for guess in prediction["guessed"]:
        console.print(f"  {guess}", highlight=False, soft_wrap=False)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    hours, steps, kwh = row["audio_hours"], row["steps"], row["energy_kwh"]
    values = (
        format_duration(row["wall_seconds"]),
        format_duration(row["seconds"] or None),
        f"{hours:.2f}" if hours else "",
        str(steps) if steps else "",
        format_si(row["flops"] or None, ""),
        format_bytes(row["process_memory_bytes"]),
        "" if kwh is None else f"{kwh:.2g}",
        "" if row["co2e_g"] is None else f"{row['co2e_g']:.2g}",
    )
    return dict(zip(_COLUMNS, values, strict=True))
