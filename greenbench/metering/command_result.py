"""What ``measure`` reports: the JSON keys that are a contract, and the same as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from greenbench.carbon import Account, EmbodiedUse, Factor
from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from greenbench.power.journal.device_energy import DeviceEnergy
    from greenbench.power.journal.window_energy import WindowEnergy
    from greenbench.power.sampler.process import SamplerProcess


@dataclass(frozen=True)
class MeasuredDevice:
    """One device's energy: its counter's figure beside the integrated power's, and what speaks against them.

    ``counted`` is false for a device whose joules are contained in another's; it is not part of the sum.
    """

    name: str
    kind: str | None
    source: str
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    counter_j: float | None
    integral_j: float | None
    ratio: float | None
    agree: bool | None
    uncertainty_j: float | None
    edge_j: float | None
    samples: int
    mean_power_w: float | None
    temperature_start_c: float | None
    temperature_end_c: float | None
    counted: bool
    shared: bool
    warnings: list[str]


@dataclass(frozen=True)
class CommandBudget:
    """The limit that a command was stopped at, in the unit of its kind."""

    kind: str
    limit: float


@dataclass(frozen=True)
class Measurement:
    """What a command cost; null where something is absent.

    ``energy_source`` says whether the joules were measured, modelled, or mixed of both. Emissions are of IT energy at
    the grid's intensity; ``overhead_g`` (PUE) and ``embodied_g`` (the hardware's share) stand beside them.
    """

    command: list[str]
    exit_code: int
    duration_s: float
    cpu_s: float
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    energy_uncertainty_j: float | None
    energy_source: str | None
    mean_power_w: float | None
    valid: bool
    devices: list[MeasuredDevice]
    peak_memory_bytes: int | None
    co2e_g: float | None
    co2e_low_g: float | None
    co2e_high_g: float | None
    pue: float | None
    overhead_g: float | None
    embodied_g: float | None
    sci_g: float | None
    sci_unit: str | None
    sci_units: float | None
    carbon: Factor | None
    embodied: list[EmbodiedUse]
    warnings: list[str]
    stopped_by_budget: bool
    budget: CommandBudget | None
    sampler_cpu_s: float | None


CARBON_KEYS = (
    "co2e_g",
    "co2e_low_g",
    "co2e_high_g",
    "pue",
    "overhead_g",
    "embodied_g",
    "sci_g",
    "sci_unit",
    "sci_units",
)


@dataclass
class Outcome:
    """How a command ended: exit code as a shell gives it, monotonic edges, CPU seconds, largest resident set."""

    exit_code: int
    begin_ns: int
    end_ns: int
    cpu_s: float
    peak_memory_bytes: int | None
    stopped: bool


def build_result(
    argv: Sequence[str],
    outcome: Outcome,
    window: WindowEnergy | None,
    sampler: SamplerProcess,
    emitted: Account,
    budget: tuple[str, float] | None,
) -> dict[str, Any]:
    """Put together what ``measure --json`` prints."""
    warnings = list(sampler.warnings)
    if window is not None:
        warnings.extend(problem for problem in window.problems if problem not in warnings)
    energy_j = window.energy_j if window else None
    warnings.extend(emitted.warnings)
    if budget is not None and budget[0] != "seconds" and energy_j is None:
        warnings.append(f"the budget of {budget[1]:g} {budget[0]} could not be enforced: no energy is recorded")
    found = Measurement(
        command=list(argv),
        exit_code=outcome.exit_code,
        duration_s=(outcome.end_ns - outcome.begin_ns) * 1e-9,
        cpu_s=outcome.cpu_s,
        energy_j=energy_j,
        energy_low_j=window.energy_low_j if window else None,
        energy_high_j=window.energy_high_j if window else None,
        energy_uncertainty_j=window.uncertainty_j if window else None,
        energy_source=window.kind if window else None,
        mean_power_w=window.mean_power_w if window else None,
        valid=window.valid if window else False,
        devices=[measured_device(device) for device in window.devices] if window else [],
        peak_memory_bytes=outcome.peak_memory_bytes,
        **{key: emitted.figures.get(key) for key in CARBON_KEYS},
        carbon=emitted.factor,
        embodied=emitted.devices,
        warnings=warnings,
        stopped_by_budget=outcome.stopped,
        budget=CommandBudget(*budget) if budget else None,
        sampler_cpu_s=sampler.cpu_s,
    )
    return asdict(found)


def measured_device(device: DeviceEnergy) -> MeasuredDevice:
    """Take out of a device's window what a reader of ``measure`` needs."""
    names = (f.name for f in fields(MeasuredDevice) if f.name != "warnings")
    return MeasuredDevice(
        **{name: getattr(device, name) for name in names}, warnings=[*device.invalid, *device.warnings]
    )


def _carbon_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if result["co2e_g"] is not None:
        low, high = format_si(result["co2e_low_g"], "g"), format_si(result["co2e_high_g"], "g")
        rows.append(("emissions", f"{format_si(result['co2e_g'], 'g')} CO2e  ({low} to {high})"))
        factor = result["carbon"]
        facts = [f"{factor['g_per_kwh']:.4g} g/kWh", factor["region"], factor["source"], factor["date"]]
        rows.append(("  factor", ", ".join(text for text in facts if text)))
    if result["overhead_g"] is not None:
        rows.append(("  overhead", f"{format_si(result['overhead_g'], 'g')} CO2e  (PUE {result['pue']:g})"))
    if result["embodied_g"] is not None:
        devices = ", ".join(f"{d['count']:g} x {d['device']}" for d in result["embodied"])
        rows.append(("embodied", f"{format_si(result['embodied_g'], 'g')} CO2e  ({devices})"))
    if result["sci_g"] is not None:
        per = f"{result['sci_unit']}  (R = {result['sci_units']:g})"
        rows.append(("SCI", f"{format_si(result['sci_g'], 'g')} CO2e per {per}"))
    return rows


def print_table(result: dict[str, Any]) -> None:
    """Print a measurement for people, to standard output; warnings go to standard error."""
    kind = result["energy_source"]
    energy = format_si(result["energy_j"], "J")
    rows = [
        ("time", format_duration(result["duration_s"])),
        ("energy", f"{energy}  ({kind})" if energy else "not recorded"),
    ]
    if energy:
        low, high = format_si(result["energy_low_j"], "J"), format_si(result["energy_high_j"], "J")
        rows += [("  range", f"{low} to {high}"), ("mean power", format_si(result["mean_power_w"], "W"))]
    for device in result["devices"]:
        mark = "" if device["counted"] else ", not added"
        text = f"{format_si(device['energy_j'], 'J')}  ({device['kind']}, {device['source']}{mark})"
        if device["ratio"] is not None:
            text += f"  counter/integral {device['ratio']:.3f}"
        rows.append((f"  {device['name']}", text))
    rows.append(("peak memory", format_bytes(result["peak_memory_bytes"])))
    rows += _carbon_rows(result)
    rows.append(
        ("exit code", f"{result['exit_code']}{' (stopped by the budget)' if result['stopped_by_budget'] else ''}")
    )
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}".rstrip())
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
