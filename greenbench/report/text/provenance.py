"""Where the figures come from: machine, data, energy, carbon factor, code, and what they leave out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from greenbench.records import Trial
from greenbench.records.files import number
from greenbench.records.manifest import DataSummary
from greenbench.records.sensors import Gpu
from greenbench.report.arms import Setting
from greenbench.report.text.amounts import budget_words
from greenbench.units import format_bytes

_LEFT_OUT_NAMED = 10


def provenance(setting: Setting) -> list[tuple[str, str]]:
    """What was used, as pairs of name and text; absent facts are left out."""
    trial = next((t for t in setting.trials if t.complete), setting.trials[0])
    host, data = trial.host, trial.data
    facts = [
        (
            "Processor",
            _join([host.cpu, f"{host.cores} cores" if host.cores else "", format_bytes(number(host.memory_bytes))]),
        ),
        ("System", _join([host.os, f"Python {host.python}" if host.python else ""])),
        *[("GPU", _gpu(gpu)) for gpu in trial.gpus],
        ("Trained on", _join([setting.keys["device"], setting.keys["dtype"]])),
        ("Budget", budget_words(setting)),
        ("Data", _join([data.spec, f"{data.hours:.2f} h" if data.hours else "", f"fingerprint {data.fingerprint}"])),
        ("Left out", _left_out(data)),
        ("Energy", _energy_sources(setting)),
        ("Emissions", _carbon(trial)),
        ("Hardware's carbon", _per_model(setting, "embodied_source")),
        ("SCI", _sci(setting)),
        ("Code", _code(trial)),
        ("Packages", _join([f"{name} {version}" for name, version in trial.packages.items() if name != "greenbench"])),
        ("Suite", _join([*setting.suites, f"configuration {trial.config_hash}", f"{len(setting.trials)} trials"])),
        ("Run", _join(sorted({t.created[:10] for t in setting.trials} - {""}))),
    ]
    return [(name, text) for name, text in facts if text]


def _join(parts: Iterable[str | None]) -> str:
    return ", ".join(part for part in parts if part)


def _left_out(data: DataSummary) -> str:
    items = data.left_out
    named = [f"{Path(item.path).name} ({item.reason})" for item in items[:_LEFT_OUT_NAMED]]
    more = f" and {len(items) - len(named)} more, listed in manifest.json" if len(items) > len(named) else ""
    return f"{len(items)} of the data's files: {'; '.join(named)}{more}" if items else ""


def _gpu(gpu: Gpu) -> str:
    limit = number(gpu.power_limit_w)
    return _join(
        [
            gpu.name,
            gpu.uuid,
            f"driver {gpu.driver}" if gpu.driver else "",
            f"power limit {limit:g} W" if limit else "",
            f"MIG {gpu.mig}" if gpu.mig else "",
        ]
    )


def _energy_sources(setting: Setting) -> str:
    kinds = {trial.energy_kind for trial in setting.trials} - {""}
    sources = {trial.energy.total.source or "" for trial in setting.trials} - {""}
    return _join([" and ".join(sorted(kinds)), " and ".join(sorted(sources))])


def _code(trial: Trial) -> str:
    return _join(
        [
            f"greenbench {trial.packages.get('greenbench', '')}",
            f"commit {trial.git.commit[:12]}" if trial.git.commit else "",
            "with uncommitted changes" if trial.git.dirty else "",
        ]
    )


def _carbon(trial: Trial) -> str:
    plan, factor = trial.carbon_plan, trial.factor
    if plan is None:
        return "no figure: the suite names neither a region nor an intensity"
    if factor is None:
        return f"no figure: {'; '.join(plan.warnings) or 'the hourly CSV lacks the hours of the run'}"
    low, high = factor.low_g_per_kwh, factor.high_g_per_kwh
    bounds = f" ({low:g}–{high:g})" if low is not None and high is not None else ""
    return _join(
        [
            f"{factor.g_per_kwh:g} g/kWh{bounds}",
            factor.region,
            factor.source,
            factor.date,
            "every trial by its own hours" if trial.hours else "",
            f"PUE {plan.pue:g}",
        ]
    )


def _per_model(setting: Setting, column: str) -> str:
    """The texts of an identity column; several where trials differ."""
    return "; ".join(sorted({trial.text(column) for trial in setting.trials} - {""}))


def _sci(setting: Setting) -> str:
    unit = _per_model(setting, "sci_unit")
    return f"(emissions + overhead + embodied) per {unit}" if unit else ""


def unmeasured(settings: Iterable[Setting]) -> list[str]:
    """Say what the energy figures leave out."""
    trials = [t for s in settings for t in s.trials]
    kinds = {trial.energy_kind for trial in trials} - {""}
    has_embodied = any(trial.figure("embodied_g") is not None for trial in trials)
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
    """The commands that made these runs, ready to paste."""
    lines = {shlex.join(argv) for setting in settings for t in setting.trials if (argv := t.argv)}
    return "\n".join(sorted(lines)[:8]) or "not recorded"
