"""The sentences of a report: verdict, notes, warnings and provenance. Every one is computed from the run folders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.metrics import METRICS, format_value
from greenbench.records import Trial
from greenbench.report.arms import Arm, Setting, energy_kind, number, status
from greenbench.report.claims import Claims, signed
from greenbench.report.figures.tradeoff import ENERGY, control_name
from greenbench.report.sections import ranked, ratio
from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from greenbench.compare import Comparison

_UNITS = re.compile(
    r"(?<=[\d.]) (?=(?:%|[kMGTPEmµ]?(?:J|W|FLOP|gCO2e|s|h|min|B)|[KMGT]iB|±|points)(?![A-Za-z]))|(?<=±) "
)

_LEFT_OUT_NAMED = 10


def keep_together(text: str) -> str:
    """Join numbers and their units by no-break spaces, so that no line ends between them."""
    return _UNITS.sub("\N{NO-BREAK SPACE}", text)


_CURRENCY: dict[str, Callable[[float], str]] = {
    "seconds": format_duration,
    "joules": lambda v: format_si(v, "J"),
    "flops": lambda v: format_si(v, "FLOP"),
    "audio_hours": lambda v: f"{v:g} h of audio",
    "steps": lambda v: f"{v:g} steps",
    "grams_co2e": lambda v: format_si(v, "gCO2e"),
}


def budget_words(setting: Setting) -> str:
    """Return the budget in words: ``"45.0 s"``, ``"2.00 kJ"``; empty where none is recorded."""
    kind, limit = setting.keys.get("budget_kind", ""), setting.keys.get("budget_limit", "")
    return _CURRENCY[kind](float(limit)) if kind in _CURRENCY and limit else ""


def verdict_sentence(setting: Setting, claims: Claims) -> str:
    """Say in one or two sentences what the runs show about the headline error and the energy, with uncertainty."""
    name = setting.headline
    arms = [arm for arm in ranked(setting) if name and arm.mean(name) is not None]
    if name is None or not arms:
        done = sum(1 for t in setting.trials if status(t) == "ok")
        return f"No verdict: {done} of {len(setting.trials)} trials finished, and none has a quality figure yet."
    best, base = arms[0], setting.baseline
    budget = budget_words(setting)
    opening = f"Under the same budget of {budget}, " if budget else ""
    label = METRICS[name].label
    if base is None or best is base or base.mean(name) is None:
        others = [arm for arm in arms if arm is not best]
        if not others:
            return (
                f"{opening}{best.label} reached {_figure(best, name)} {label}; nothing else was run to hold it against."
            )
        lead = f"{opening}no model is below {best.label}, the baseline, in {label}: {_figure(best, name)}."
        return f"{lead} {_claims_against(others, name, claims)}"
    return f"{opening}{_difference(best, base, name, claims)} {_energy_clause(best, base, claims)}".strip()


def _difference(best: Arm, base: Arm, name: str, claims: Claims) -> str:
    label, claim = METRICS[name].label, claims.get(best.label, name)
    numbers = f"{_figure(best, name)} {label} against {_figure(base, name)} for {base.label}"
    runs = f"{min(len(best.values(name)), len(base.values(name)))} seeds"
    verdict = claim.verdict if claim else ""
    if claim is not None and verdict == "better":
        share = ratio(best, base, name)
        relative = f" {abs(1 - share) * 100:.0f} % {'lower' if share < 1 else 'higher'}," if share else ""
        return f"{best.label} is better than {base.label}: {numbers},{relative} {interval(claim, name)} over {runs}."
    if verdict == "not enough runs":
        return f"not enough runs to decide. {best.label} reached {numbers} ({_runs(best, base, name)}), {floor(claim)}."
    if claim is not None and verdict == "no difference shown":
        shown = f"{interval(claim, name)} over {runs}"
        return f"no difference shown between {best.label} and {base.label}: {numbers}; {shown}."
    return f"{best.label} reached {numbers} ({_runs(best, base, name)})."


def _runs(best: Arm, base: Arm, name: str) -> str:
    a, b = len(best.values(name)), len(base.values(name))
    return f"{a} {'run' if a == 1 else 'runs'} each" if a == b else f"{a} and {b} runs"


def _claims_against(others: Iterable[Arm], name: str, claims: Claims) -> str:
    words = [f"{arm.label} {_figure(arm, name)} ({claims.verdict(arm.label, name) or 'not tested'})" for arm in others]
    return "; ".join(words) + "."


_SAVING = {
    "better": "a saving",
    "worse": "more energy",
    "no difference shown": "no difference shown",
    "not enough runs": "not enough runs to call that a difference",
}


def _energy_clause(best: Arm, base: Arm, claims: Claims) -> str:
    mine, theirs = best.mean(ENERGY), base.mean(ENERGY)
    if mine is None or theirs is None:
        return "No energy was recorded, so nothing can be said about joules."
    kind = best.energy_kind or "kind not recorded"
    verdict = claims.verdict(best.label, ENERGY)
    tail = f": {_SAVING[verdict]}" if verdict in _SAVING else ""
    return f"It burnt {format_si(mine, 'J')} against {format_si(theirs, 'J')} ({kind}){tail}."


def interval(claim: Comparison, name: str) -> str:
    """Return the difference with its interval in the metric's unit."""
    if claim.low is None or claim.high is None:
        return f"difference {signed(name, claim.difference)}"
    low, high = signed(name, claim.low), signed(name, claim.high)
    low = low.removesuffix(" points")
    return f"difference {signed(name, claim.difference)} (95 % interval {low} to {high})"


def floor(claim: Comparison | None) -> str:
    """Say the smallest p that so few runs can reach."""
    if claim is None or claim.p_floor is None:
        return "too few to test"
    if claim.p_floor >= 1:
        return "and one run a side shows no spread to test against"
    return f"and no exact test of {claim.n_base} against {claim.n_new} can go below p = {claim.p_floor:.2g}"


def _figure(arm: Arm, name: str) -> str:
    value, spread = arm.mean(name), arm.spread(name)
    text = format_value(name, value)
    if spread is None:
        return text
    number_, _, unit = text.partition(" ")
    shown = format_value(name, spread).partition(" ")[0]
    return f"{number_} ± {shown} {unit}".strip()


@dataclass(frozen=True)
class Warn:
    """One warning and the trials it concerns; ``fault`` marks what spoils a figure."""

    text: str
    where: str = ""
    fault: bool = False


def warnings_of(settings: Iterable[Setting]) -> list[Warn]:
    """Collect everything that a reader must know before trusting a figure, the gravest first."""
    found: dict[tuple[str, bool], list[Trial]] = {}
    for setting in settings:
        for trial in setting.trials:
            for text, fault in _trial_warnings(trial):
                found.setdefault((text, fault), []).append(trial)
    listed = [Warn(text, _where(trials), fault) for (text, fault), trials in found.items()]
    return sorted(listed, key=lambda w: not w.fault)[:60]


def _trial_warnings(trial: Trial) -> Iterable[tuple[str, bool]]:
    result = trial.result
    if result is None:
        yield "Not finished: run the same command again to continue. It is in no mean and no comparison.", True
        return
    if status(trial) != "ok":
        yield f"Failed: {result.get('error') or 'no reason recorded'}", True
    if not result.get("valid", True):
        yield "Marked invalid: its figures are in results.csv, but in no mean and no comparison.", True
    kind = energy_kind(trial)
    if kind in ("modelled", "mixed"):
        yield (
            f"Energy is {kind}, not measured: it follows a model of load and rated power, and the range is wide.",
            False,
        )
    elif not kind and status(trial) == "ok":
        yield "No energy figure: no power source was readable (greenbench doctor says why).", True
    if result.get("resumed"):
        yield "Resumed after an interruption; what the crash threw away is in energy_wasted_j.", False
    if (result.get("energy") or {}).get("charged"):
        yield (
            "Features were reused from the disk; what computing them took is charged to the budget and is part of its "
            "energy (energy_charged_j), not of the total.",
            False,
        )
    overshoot = number(trial.row.get("budget_overshoot_pct"))
    if overshoot is not None and abs(overshoot) > 2:
        yield "Missed its budget by more than 2 %; compare with care.", True
    for text in result.get("warnings") or []:
        if not str(text).startswith("resumed "):
            yield _sentence(str(text)), False
    for task, reason in (result.get("left_out") or {}).items():
        yield f"Task {task} was left out: {reason}", False


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _where(trials: list[Trial]) -> str:
    names = [t.path.name.rpartition("-")[0] or t.path.name for t in trials]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


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


def controls_note(setting: Setting) -> str:
    """Say whether the best model beats its controls in the headline error."""
    name = setting.headline
    arms = [arm for arm in ranked(setting) if name and arm.mean(name) is not None]
    if name is None or not arms:
        return "What the probe achieves without a trained model."
    sign = -1 if METRICS[name].direction == "higher" else 1
    best = arms[0]
    better = [
        c for c in setting.controls if (v := c.mean(name)) is not None and sign * v <= sign * (best.mean(name) or 0)
    ]
    label = METRICS[name].label
    if better:
        names = " and ".join(control_name(c) for c in better)
        note = (
            f"Caution: {names} scores as well as {best.label} or better, so what was learnt does not show in this task."
        )
    else:
        note = f"What the same probe achieves without pretraining; {best.label} is ahead of every control in {label}."
    return f"{note} {_own_random_note(setting, name)}".strip()


def _own_random_note(setting: Setting, name: str) -> str:
    """Say how many models are ahead of their own random weights, by their means."""
    sign = -1 if METRICS[name].direction == "higher" else 1
    gains = {
        arm.label: sign * (drawn - mine)
        for arm, control in setting.own_random.items()
        if (mine := arm.mean(name)) is not None and (drawn := control.mean(name)) is not None
    }
    if len(gains) < 2:
        return ""
    behind = [label for label, gain in gains.items() if gain <= 0]
    note = f"By their means {len(gains) - len(behind)} of {len(gains)} models are ahead of their own random weights"
    return f"{note}; not so: {', '.join(behind)}." if behind else f"{note}."


def comparison_note(setting: Setting) -> str:
    """Say how to read the comparison table."""
    counts = sorted({len(arm.counted) for arm in setting.contestants})
    base = setting.baseline
    ratios = f"× is the ratio to {base.label}, the baseline; " if base and len(setting.contestants) > 1 else ""
    if counts[-1:] <= [1]:
        runs = "One seed each, so nothing here has a spread."
    else:
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        runs = f"Means over {span} seeds, ± one standard deviation between seeds."
    return f"{runs} {ratios}arrows point to the better direction.".replace(". a", ". A")
