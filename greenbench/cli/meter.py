"""``greenbench measure`` and ``greenbench doctor``: the meter without the suite."""

# ruff: noqa: UP045, FBT002 - typer's way to declare options
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from greenbench.cli.options import AsJson, Region, emit

Sources = Annotated[str, typer.Option("--sources", help="auto, none, or a list: nvml,rapl,cpu,ram,replay:FILE.")]

Devices = Annotated[
    str,
    typer.Option(
        "--devices",
        metavar="GPUS",
        help="auto (those the environment shows), none, or a list: cuda:0,hip:0,GPU-<uuid>,MIG-<uuid>.",
    ),
]
TdpW = Annotated[Optional[float], typer.Option("--tdp-w", help="The CPU's TDP, where it is modelled.")]
JournalFile = Annotated[
    Optional[Path], typer.Option("--journal", metavar="FILE", help="Keep the raw readings (csv.gz).")
]


def measure(
    context: typer.Context,
    budget: Annotated[
        Optional[str], typer.Option("--budget", metavar="CURRENCY=LIMIT", help="Stop the command there: joules=500.")
    ] = None,
    hz: Annotated[float, typer.Option("--hz", help="Readings per second.")] = 20.0,
    sources: Sources = "auto",
    devices: Devices = "auto",
    tdp_w: TdpW = None,
    region: Region = None,
    intensity: Annotated[
        Optional[float], typer.Option("--intensity", metavar="G_PER_KWH", help="Grid intensity in gCO2e/kWh.")
    ] = None,
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """Meter a command, its children and the GPUs: greenbench measure -- python train.py. Exits as the command did."""
    from greenbench.power.measure import measure_command, parse_budget, print_table
    from greenbench.power.options import parse_devices

    result = measure_command(
        context.args,
        budget=parse_budget(budget) if budget else None,
        hz=hz,
        sources=sources,
        devices=parse_devices(devices),
        tdp_w=tdp_w,
        region=region,
        intensity_g_per_kwh=intensity,
        journal=journal,
    )
    emit(result) if as_json else print_table(result)
    raise typer.Exit(int(result["exit_code"]))


def doctor(
    duration_s: Annotated[float, typer.Option("--seconds", help="How long to look.")] = 5.0,
    sources: Sources = "auto",
    devices: Devices = "auto",
    tdp_w: TdpW = None,
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """Say which power sources there are, how fast and fine they count, and what would be modelled."""
    from greenbench.power.doctor import inspect, print_table
    from greenbench.power.options import parse_devices

    found = inspect(duration_s, sources=sources, devices=parse_devices(devices), tdp_w=tdp_w, journal=journal)
    emit(found) if as_json else print_table(found)
