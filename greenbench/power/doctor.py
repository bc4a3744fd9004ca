"""``greenbench doctor``: what can be measured on this machine, how well, and what is missing and why."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from greenbench.power.probe import probe
from greenbench.power.sampler_process import SamplerProcess
from greenbench.power.samples import MEASURED, MODELLED, DeviceInfo, Sample
from greenbench.power.sources import Source, detect
from greenbench.units import format_si

_PROBE_S = 1.5


def inspect(
    duration_s: float = 5.0, *, sources: str = "auto", journal: Path | None = None, tdp_w: float | None = None
) -> dict[str, Any]:
    """Look at every source and record this machine for ``duration_s``, idle except for the recording.

    Returns the JSON of ``doctor --json``: per source whether it was found or why not, its update period, step,
    latency per read and idle watts; ``will_use``; ``warnings``. ``devices`` of a source hold the same per device
    with the ratio of counter to integrated power.
    """
    found = detect(sources, tdp_w=tdp_w)
    probe(found, max_s=_PROBE_S)
    latencies = _latencies(found)
    window, warnings, cpu_share = _record(duration_s, sources, journal, tdp_w)
    recorded = {d.name: d for d in window.devices} if window is not None else {}
    rows = [_source(source, recorded, latencies) for source in found]
    for source in found:
        source.close()
    used = [d["name"] for row in rows for d in row["devices"] if d["counted"]]
    kinds = {d["kind"] for row in rows for d in row["devices"] if d["counted"]}
    return {
        "sources": rows,
        "will_use": used,
        "kind": None if not kinds else kinds.pop() if len(kinds) == 1 else "mixed",
        "idle_power_w": window.mean_power_w if window else None,
        "sampler_cpu_share": cpu_share,
        "duration_s": duration_s,
        "warnings": list(dict.fromkeys([*warnings, *_advice(found, rows)])),
    }


def _latencies(found: list[Source]) -> dict[str, float]:
    readings: dict[str, list[int]] = {}
    for source in found:
        for _ in range(20):
            for sample in source.read():
                readings.setdefault(sample.device, []).append(_cost_ns(sample))
    return {name: statistics.median(values) * 1e-9 for name, values in readings.items()}


def _cost_ns(sample: Sample) -> int:
    return sample.read_ns


def _record(
    duration_s: float, sources: str, journal: Path | None, tdp_w: float | None
) -> tuple[Any, list[str], float | None]:
    from greenbench.power.trace import read_journal

    with tempfile.TemporaryDirectory(prefix="greenbench-doctor-") as name:
        folder = Path(name)
        path = journal or folder / "power.csv.gz"
        with SamplerProcess(path, folder / "live.bin", sources=sources, tdp_w=tdp_w) as sampler:
            begin = time.monotonic_ns()
            time.sleep(duration_s)
            end = time.monotonic_ns()
            sampler.flush()
        warnings = list(sampler.warnings)
        try:
            window = read_journal(path).window(begin, end)
        except OSError as error:
            return None, [*warnings, f"the journal cannot be read: {error}"], None
    warnings.extend(window.problems)
    share = None if sampler.cpu_s is None else sampler.cpu_s / max(duration_s, 1e-9)
    return window, warnings, share


def _source(source: Source, recorded: dict[str, Any], latencies: dict[str, float]) -> dict[str, Any]:
    devices = [_device(info, recorded.get(info.device), latencies.get(info.device)) for info in source.devices]
    powers = [d["idle_power_w"] for d in devices if d["counted"] and d["idle_power_w"] is not None]

    def first(key: str) -> Any:
        return next((d[key] for d in devices if d[key] is not None), None)

    return {
        "name": source.name,
        "available": source.available,
        "reason": source.reason,
        "devices": devices,
        "update_period_s": first("update_period_s"),
        "step_j": first("step_j"),
        "read_latency_s": first("read_latency_s"),
        "idle_power_w": sum(powers) if powers else None,
    }


def _device(info: DeviceInfo, energy: Any, latency_s: float | None) -> dict[str, Any]:
    return {
        "name": info.device,
        "kind": info.kind,
        "part": info.part,
        "counted": info.counted,
        "has_counter": info.has_counter,
        "power_from": info.power_from,
        "update_period_s": info.update_period_s,
        "step_j": info.step_j,
        "read_latency_s": latency_s,
        "idle_power_w": energy.mean_power_w if energy else None,
        "idle_power_low_w": _mean(energy, "energy_low_j"),
        "idle_power_high_w": _mean(energy, "energy_high_j"),
        "counter_integral_ratio": energy.ratio if energy else None,
        "agree": energy.agree if energy else None,
        "tolerance": info.tolerance,
        "tolerance_source": info.tolerance_source,
        "shared": info.shared,
        "notes": info.notes,
        "details": info.details,
    }


def _mean(energy: Any, name: str) -> float | None:
    value = getattr(energy, name, None)
    if value is None or not energy.energy_j or energy.mean_power_w is None:
        return None
    return float(value * energy.mean_power_w / energy.energy_j)


def _advice(found: list[Source], rows: list[dict[str, Any]]) -> list[str]:
    advice: list[str] = []
    counted = [d for row in rows for d in row["devices"] if d["counted"]]
    if not counted:
        advice.append("nothing can be measured or modelled here: energy stays empty")
    elif all(d["kind"] == MODELLED for d in counted):
        advice.append("every joule on this machine is modelled: compare models by it with care, and see the range")
    if any(d["kind"] == MEASURED and d["part"] == "gpu" for d in counted) and any(
        d["kind"] == MODELLED for d in counted
    ):
        advice.append("GPU measured, CPU or memory modelled: totals are marked mixed")
    advice.extend(
        f"{s.name}: {s.reason}" for s in found if not s.available and s.name == "rapl" and "chmod" in s.reason
    )
    return advice


def print_table(report: dict[str, Any]) -> None:
    """Print the report for people, to standard output."""
    for row in report["sources"]:
        print(f"{row['name']:<7} {'found' if row['available'] else 'absent: ' + row['reason']}")  # noqa: T201
        for device in row["devices"]:
            for line in _lines(device):
                print(f"        {line}")  # noqa: T201
    kind = report["kind"] or "nothing"
    used = ", ".join(report["will_use"]) or "nothing"
    print(f"\nwill use: {used} ({kind})")  # noqa: T201
    if report["idle_power_w"] is not None:
        print(f"idle:     {format_si(report['idle_power_w'], 'W')} over {report['duration_s']:g} s")  # noqa: T201
    if report["sampler_cpu_share"] is not None:
        share = 100 * report["sampler_cpu_share"]
        print(f"sampler:  {share:.1f} % of one core, its start included")  # noqa: T201
    for warning in report["warnings"]:
        print(f"warning:  {warning}")  # noqa: T201


def _lines(device: dict[str, Any]) -> list[str]:
    name = device["details"].get("name") or device["details"].get("model")
    lines = [f"{device['name']}  {device['kind']}{'' if device['counted'] else ', recorded but not added'}"]
    if name:
        lines[0] += f"  {name}"
    facts = [
        ("update period", format_si(device["update_period_s"], "s")),
        ("step", format_si(device["step_j"], "J")),
        ("read", format_si(device["read_latency_s"], "s")),
        ("idle", format_si(device["idle_power_w"], "W")),
    ]
    if device["idle_power_low_w"] is not None and device["kind"] == MODELLED:
        low, high = format_si(device["idle_power_low_w"], "W"), format_si(device["idle_power_high_w"], "W")
        facts.append(("range", f"{low or '0 W'} to {high}"))
    if device["counter_integral_ratio"] is not None:
        verdict = "agree" if device["agree"] else "DISAGREE"
        facts.append(("counter/integral", f"{device['counter_integral_ratio']:.4f} ({verdict})"))
    lines.append("  " + ", ".join(f"{key} {value}" for key, value in facts if value))
    lines.extend(f"  {note}" for note in device["notes"])
    return lines


def main(argv: list[str] | None = None) -> int:
    """``python -m greenbench.power.doctor [--json]``."""
    import argparse
    import json

    parser = argparse.ArgumentParser(prog="greenbench.power.doctor")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--duration-s", type=float, default=5.0)
    parser.add_argument("--sources", default="auto")
    options = parser.parse_args(argv)
    report = inspect(options.duration_s, sources=options.sources)
    if options.json:
        print(json.dumps(report, indent=2))  # noqa: T201
    else:
        print_table(report)
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main())
