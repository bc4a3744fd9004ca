"""``greenbench doctor``: what can be measured on this machine, how well, and what is missing and why."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greenbench.errors import ConfigError
from greenbench.power.energy import mix_kinds
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.samples import MODELLED, DeviceInfo
from greenbench.power.sources.options import Sampling
from greenbench.units import format_si

if TYPE_CHECKING:
    from greenbench.power.journal.device_energy import DeviceEnergy
    from greenbench.power.journal.window_energy import WindowEnergy


def inspect(
    duration_s: float = 5.0, *, sampling: Sampling | None = None, journal: Path | None = None
) -> dict[str, Any]:
    """Look at every source and record this machine for ``duration_s``, idle except for the recording.

    Returns the JSON of ``doctor --json``: per source whether it was found or why not, its update period, step,
    latency per read and idle watts; ``will_use``; ``warnings``. ``devices`` of a source hold the same per device
    with the ratio of counter to integrated power. ``journal`` keeps the raw readings.

    Raises:
        ConfigError: an unknown source, a name that is no GPU, or a time or TDP that cannot be.
    """
    sampling = sampling or Sampling()
    sampling.check()
    if not 0 < duration_s < math.inf:
        raise ConfigError(f"--seconds {duration_s:g}: must be above 0")
    with tempfile.TemporaryDirectory(prefix="greenbench-doctor-") as name:
        folder = Path(name)
        path = journal or folder / "power.csv.gz"
        with SamplerProcess(path, folder / "live.bin", **asdict(sampling)) as sampler:
            begin = time.monotonic_ns()
            sampler.edge()
            time.sleep(duration_s)
            end = time.monotonic_ns()
            sampler.edge()
            sampler.flush()
        warnings = list(sampler.warnings)
        window, latencies = _read(path, begin, end, warnings)
    recorded = {d.name: d for d in window.devices} if window is not None else {}
    rows = [_source(source, recorded, latencies) for source in sampler.ready.get("sources", [])]
    counted = [d for row in rows for d in row["devices"] if d["counted"] and not d["missing"]]
    return {
        "sources": rows,
        "will_use": [d["name"] for d in counted],
        "kind": mix_kinds(d["kind"] for d in counted),
        "idle_power_w": window.mean_power_w if window else None,
        "sampler_cpu_s": sampler.cpu_s,
        "duration_s": duration_s,
        "warnings": list(dict.fromkeys([*warnings, *_advice(rows, counted)])),
    }


def _read(path: Path, begin_ns: int, end_ns: int, warnings: list[str]) -> tuple[WindowEnergy | None, dict[str, float]]:
    from greenbench.power.journal.trace import read_journal

    try:
        trace = read_journal(path)
    except OSError as error:
        warnings.append(f"the journal cannot be read: {error}")
        return None, {}
    window = trace.window(begin_ns, end_ns)
    warnings.extend(problem for problem in window.problems if problem not in warnings)
    return window, trace.read_latencies_s()


def _source(source: dict[str, Any], recorded: dict[str, Any], latencies: dict[str, float]) -> dict[str, Any]:
    infos = [DeviceInfo.from_dict(values) for values in source["devices"]]
    devices = [_device(info, recorded.get(info.device), latencies.get(info.device)) for info in infos]
    powers = [d["idle_power_w"] for d in devices if d["counted"] and d["idle_power_w"] is not None]

    def first(key: str) -> Any:
        return next((d[key] for d in devices if d[key] is not None), None)

    return {
        "name": source["name"],
        "available": source["available"],
        "reason": source["reason"],
        "devices": devices,
        "update_period_s": first("update_period_s"),
        "step_j": first("step_j"),
        "read_latency_s": first("read_latency_s"),
        "idle_power_w": sum(powers) if powers else None,
    }


def _device(info: DeviceInfo, energy: DeviceEnergy | None, latency_s: float | None) -> dict[str, Any]:
    return {
        "name": info.device,
        "kind": info.kind,
        "part": info.part,
        "counted": info.counted,
        "has_counter": info.has_counter,
        "power_from": info.power_from,
        "update_period_s": info.update_period_s,
        "step_j": info.step_j,
        "read_latency_s": info.read_latency_s if info.read_latency_s is not None else latency_s,
        "counter_every_s": info.counter_every_s,
        "idle_power_w": energy.mean_power_w if energy else None,
        "idle_power_low_w": _mean_side(energy, "low_j"),
        "idle_power_high_w": _mean_side(energy, "high_j"),
        "counter_integral_ratio": energy.ratio if energy else None,
        "agree": energy.agree if energy else None,
        "tolerance": info.tolerance,
        "tolerance_source": info.tolerance_source,
        "shared": info.shared,
        "missing": info.missing,
        "notes": info.notes,
        "details": info.details,
    }


def _mean_side(energy: DeviceEnergy | None, side: Literal["low_j", "high_j"]) -> float | None:
    side_j = getattr(energy.energy, side) if energy else None
    if energy is None or side_j is None or not energy.energy_j or energy.mean_power_w is None:
        return None
    return float(side_j * energy.mean_power_w / energy.energy_j)


def _advice(rows: list[dict[str, Any]], counted: list[dict[str, Any]]) -> list[str]:
    advice: list[str] = []
    if not counted:
        advice.append("nothing can be measured or modelled here: energy stays empty")
    elif all(d["kind"] == MODELLED for d in counted):
        advice.append("every joule on this machine is modelled: compare models by it with care, and see the range")
    elif any(d["kind"] == MODELLED for d in counted):
        modelled = ", ".join(d["name"] for d in counted if d["kind"] == MODELLED)
        advice.append(f"{modelled} modelled, the rest measured: totals are marked mixed")
    advice.extend(f"rapl: {r['reason']}" for r in rows if r["name"] == "rapl" and "cannot be read" in r["reason"])
    return advice


def print_table(report: dict[str, Any]) -> None:
    """Print the report for people, to standard output."""
    for row in report["sources"]:
        print(f"{row['name']:<7} {'found' if row['available'] else 'absent: ' + row['reason']}")
        for device in row["devices"]:
            for line in _lines(device):
                print(f"        {line}")
    kind = report["kind"] or "nothing"
    used = ", ".join(report["will_use"]) or "nothing"
    print(f"\nwill use: {used} ({kind})")
    if report["idle_power_w"] is not None:
        print(f"idle:     {format_si(report['idle_power_w'], 'W')} over {report['duration_s']:g} s")
    if report["sampler_cpu_s"] is not None:
        print(f"sampler:  {format_si(report['sampler_cpu_s'], 's')} of CPU time, its start included")
    for warning in report["warnings"]:
        print(f"warning:  {warning}")


def _lines(device: dict[str, Any]) -> list[str]:
    name = device["details"].get("name") or device["details"].get("model")
    lines = [f"{device['name']}  {device['kind']}{'' if device['counted'] else ', recorded but not added'}"]
    if name:
        lines[0] += f"  {name}"
    facts = [
        ("update period", format_si(device["update_period_s"], "s")),
        ("step", format_si(device["step_j"], "J")),
        ("read", format_si(device["read_latency_s"], "s")),
        ("counter every", format_si(device["counter_every_s"], "s")),
        ("idle", format_si(device["idle_power_w"], "W")),
    ]
    if device["idle_power_low_w"] is not None and device["kind"] == MODELLED:
        low, high = format_si(device["idle_power_low_w"], "W"), format_si(device["idle_power_high_w"], "W")
        facts.append(("range", f"{low or '0 W'} to {high}"))
    if device["counter_integral_ratio"] is not None:
        verdict = "agree" if device["agree"] else "DISAGREE"
        facts.append(("counter/integral", f"{device['counter_integral_ratio']:.4f} ({verdict})"))
    told = ", ".join(f"{key} {value}" for key, value in facts if value)
    lines.append(f"  cannot be read: {device['missing']}" if device["missing"] else f"  {told}")
    lines.extend(f"  {note}" for note in device["notes"])
    return lines
