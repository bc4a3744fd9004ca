"""Where the figures come from: machine, data, energy, carbon factor, code, and what they leave out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from greenbench.records import Trial
from greenbench.report.arms import Setting, energy_kind, number
from greenbench.report.text.amounts import budget_words
from greenbench.units import format_bytes

_LEFT_OUT_NAMED = 10


def provenance(setting: Setting) -> list[tuple[str, str]]:
    """Return what was used, as pairs of name and text; absent facts are left out."""
    trial = next((t for t in setting.trials if t.result is not None), setting.trials[0])
    m = trial.manifest
    host, data, git = m.get("host") or {}, m.get("data") or {}, m.get("git") or {}
    memory = format_bytes(number(host.get("memory_bytes")))
    facts = [
        ("Processor", _join([host.get("cpu"), f"{host['cores']} cores" if host.get("cores") else "", memory])),
        ("System", _join([host.get("os"), f"Python {host['python']}" if host.get("python") else ""])),
        *[("GPU", _gpu(g)) for g in m.get("gpu") or []],
        ("Trained on", _join([setting.keys["device"], setting.keys["dtype"]])),
        ("Budget", budget_words(setting)),
        (
            "Data",
            _join(
                [
                    data.get("spec"),
                    f"{data['hours']:.2f} h" if number(data.get("hours")) else "",
                    f"fingerprint {data.get('fingerprint')}",
                ]
            ),
        ),
        ("Left out", _left_out(data)),
        ("Energy", _energy_sources(setting)),
        ("Emissions", _carbon(trial)),
        ("Hardware's carbon", _per_model(setting, "embodied_source")),
        ("SCI", _sci(setting)),
        (
            "Code",
            _join(
                [
                    f"greenbench {(m.get('packages') or {}).get('greenbench', '')}",
                    git.get("commit") and f"commit {str(git['commit'])[:12]}",
                    "with uncommitted changes" if git.get("dirty") else "",
                ]
            ),
        ),
        ("Packages", _join([f"{k} {v}" for k, v in (m.get("packages") or {}).items() if k != "greenbench"])),
        ("Suite", _join([*setting.suites, f"configuration {m.get('config_hash')}", f"{len(setting.trials)} trials"])),
        ("Run", _join(sorted({str(t.manifest.get("created", ""))[:10] for t in setting.trials} - {""}))),
    ]
    return [(name, text) for name, text in facts if text]


def _join(parts: Iterable[Any]) -> str:
    return ", ".join(str(p) for p in parts if p)


def _left_out(data: dict[str, Any]) -> str:
    items = data.get("left_out") or []
    named = [f"{Path(str(item.get('path'))).name} ({item.get('reason')})" for item in items[:_LEFT_OUT_NAMED]]
    more = f" and {len(items) - len(named)} more, listed in manifest.json" if len(items) > len(named) else ""
    return f"{len(items)} of the data's files: {'; '.join(named)}{more}" if items else ""


def _gpu(gpu: dict[str, Any]) -> str:
    limit = number(gpu.get("power_limit_w"))
    return _join(
        [
            gpu.get("name"),
            gpu.get("uuid"),
            f"driver {gpu['driver']}" if gpu.get("driver") else "",
            f"power limit {limit:g} W" if limit else "",
            f"MIG {gpu['mig']}" if gpu.get("mig") else "",
        ]
    )


def _energy_sources(setting: Setting) -> str:
    kinds = {energy_kind(t) for t in setting.trials} - {""}
    sources = {
        str(s) for t in setting.trials if (s := ((t.result or {}).get("energy") or {}).get("total", {}).get("source"))
    }
    return _join([" and ".join(sorted(kinds)), " and ".join(sorted(sources))])


def _carbon(trial: Trial) -> str:
    manifest = trial.manifest
    table = manifest.get("carbon")
    if not table:
        return "no figure: the suite names neither a region nor an intensity"
    # The factor that the result was counted with; hours are known only when a trial has ended.
    counted = (trial.result or {}).get("carbon")
    factor = counted.get("factor") or {} if counted else {**table, **(table.get("factor") or {})}
    if number(factor.get("g_per_kwh")) is None:
        return f"no figure: {'; '.join(table.get('warnings') or []) or 'the hourly CSV lacks the hours of the run'}"
    value, low, high = (number(factor.get(k)) for k in ("g_per_kwh", "low_g_per_kwh", "high_g_per_kwh"))
    bounds = f" ({low:g}–{high:g})" if low is not None and high is not None else ""
    own_hours = "every trial by its own hours" if table.get("hours") else ""
    pue = number(table.get("pue")) or number(((manifest.get("config") or {}).get("carbon") or {}).get("pue")) or 1.0
    return _join(
        [
            f"{value:g} g/kWh{bounds}" if value is not None else "",
            factor.get("region"),
            factor.get("source"),
            factor.get("date"),
            own_hours,
            f"PUE {pue:g}",
        ]
    )


def _per_model(setting: Setting, column: str) -> str:
    """Return the texts of an identity column; several where trials differ."""
    return "; ".join(sorted({str(t.row[column]) for t in setting.trials if t.row.get(column)}))


def _sci(setting: Setting) -> str:
    unit = _per_model(setting, "sci_unit")
    return f"(emissions + overhead + embodied) per {unit}" if unit else ""


def unmeasured(settings: Iterable[Setting]) -> list[str]:
    """Say what the energy figures leave out."""
    trials = [t for s in settings for t in s.trials]
    kinds = {energy_kind(t) for t in trials} - {""}
    has_embodied = any(number(t.row.get("embodied_g")) is not None for t in trials)
    lines = []
    if "modelled" in kinds:
        lines.append(
            "Power itself: these joules come from a model of CPU load and rated power, not from a sensor or counter."
        )
    if "mixed" in kinds:
        lines.append("Part of the power: some devices were measured and others modelled; phases.csv marks which.")
    return [
        *lines,
        "Losses of the power supply, fans, storage, network and displays.",
        "Cooling and other overheads of a building: a stated PUE has a column of its own, and enters no joule.",
        *([] if has_embodied else ["Making the hardware (embodied carbon): the suite names no device."]),
        "The energy of everything done before the run: downloads, building the corpus, tuning.",
    ]


def command(settings: Iterable[Setting]) -> str:
    """Return the commands that made these runs, ready to paste."""
    lines = {shlex.join(str(a) for a in argv) for s in settings for t in s.trials if (argv := t.manifest.get("argv"))}
    return "\n".join(sorted(lines)[:8]) or "not recorded"
