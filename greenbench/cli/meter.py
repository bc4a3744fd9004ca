"""``greenbench measure`` and ``greenbench doctor``: the meter without the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greenbench.cli import carbon_options as carbon
from greenbench.cli.options import AsJson, Region, emit
from greenbench.errors import ConfigError

Sources = Annotated[str, typer.Option("--sources", help="auto, none, or a list: nvml,rapl,cpu,ram,replay:FILE.")]

Devices = Annotated[
    str,
    typer.Option(
        "--devices",
        metavar="GPUS",
        help="auto (those the environment shows), none, or a list: cuda:0,hip:0,GPU-<uuid>,MIG-<uuid>.",
    ),
]
TdpW = Annotated[float | None, typer.Option("--tdp-w", help="The CPU's TDP, where it is modelled.")]
JournalFile = Annotated[Path | None, typer.Option("--journal", metavar="FILE", help="Keep the raw readings (csv.gz).")]


def measure(
    context: typer.Context,
    *,
    budgets: Annotated[
        list[str] | None, typer.Option("--budget", metavar="CURRENCY=LIMIT", help="Stop the command there: joules=500.")
    ] = None,
    hz: Annotated[float, typer.Option("--hz", help="Readings per second.")] = 20.0,
    sources: Sources = "auto",
    devices: Devices = "auto",
    tdp_w: TdpW = None,
    region: Region = None,
    intensity: carbon.Intensity = None,
    hourly_csv: carbon.HourlyCsv = None,
    live_zone: carbon.LiveZone = None,
    pue: carbon.Pue = 1.0,
    embodied: carbon.EmbodiedDevice = None,
    embodied_kg: carbon.EmbodiedKg = None,
    embodied_years: carbon.EmbodiedYears = None,
    embodied_count: carbon.EmbodiedCount = None,
    sci_unit: carbon.SciUnit = None,
    sci_units: carbon.SciUnits = None,
    journal: JournalFile = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="DIR", help="Leave a record there for compare, check and export.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="The record's name; default: a.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME=higher|lower|none", help="A figure that the command logs; repeatable."),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, metavar="N", help="Run N times; 5 a side decide.")] = 1,
    interleave: Annotated[
        str | None, typer.Option("--interleave", metavar="CMD", help="Alternate with this command: A B B A …")
    ] = None,
    other_label: Annotated[str, typer.Option("--other-label", metavar="NAME", help="The other command's name.")] = "b",
    as_json: AsJson = False,
) -> None:
    """Meter a command, its children and the GPUs: greenbench measure -- python train.py. Exits as the command did."""
    from greenbench.cli.repeated import Repetition, measure_repeatedly
    from greenbench.metering.command import parse_budget
    from greenbench.power.sources.options import Sampling, parse_devices

    code = measure_repeatedly(
        Repetition(context.args, record, label, metrics or (), repeat, interleave, other_label),
        as_json=as_json,
        budget=parse_budget(_only_one(budgets)) if budgets else None,
        sampling=Sampling(hz, sources, parse_devices(devices), tdp_w),
        carbon=carbon.carbon_settings(
            region=region,
            intensity_g_per_kwh=intensity,
            hourly_csv=hourly_csv,
            live_zone=live_zone,
            pue=pue,
            embodied=embodied,
            embodied_kg=embodied_kg,
            embodied_years=embodied_years,
            embodied_count=embodied_count,
            sci_unit=sci_unit,
            sci_units=sci_units,
        ),
        journal=journal,
    )
    raise typer.Exit(code)


def _only_one(budgets: list[str]) -> str:
    if len(budgets) > 1:
        both = " and ".join(f"--budget {text}" for text in budgets)
        raise ConfigError(f"{both}: a command has one budget; give one of them")
    return budgets[0]


def doctor(
    *,
    duration_s: Annotated[float, typer.Option("--seconds", help="How long to look.")] = 5.0,
    sources: Sources = "auto",
    devices: Devices = "auto",
    tdp_w: TdpW = None,
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """Say which power sources there are, how fast and fine they count, and what would be modelled."""
    from greenbench.metering.doctor import inspect, print_table
    from greenbench.power.sources.options import Sampling, parse_devices

    sampling = Sampling(sources=sources, devices=parse_devices(devices), tdp_w=tdp_w)
    found = inspect(duration_s, sampling=sampling, journal=journal)
    emit(found) if as_json else print_table(found)
