"""The tables of one setting: comparison, controls, transfer and languages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from greenbench.metrics import METRICS, format_value
from greenbench.report.arm_cells import arm_cell
from greenbench.report.arms import Arm, Setting, number
from greenbench.report.claims import Claims
from greenbench.report.view import Cell, Head, Row, TableView, metric_cell, metric_head

COSTS = (
    "energy_budgeted_j",
    "co2e_g",
    "overhead_g",
    "embodied_g",
    "sci_g",
    "pretrain_flops",
    "peak_memory_bytes",
    "params",
    "audio_h",
    "audio_s_per_s",
    "steps",
    "pretrain_s",
)


def quality_metrics(setting: Setting) -> list[str]:
    """Return the quality metrics that any arm has, the headline first."""
    found = [name for name, m in METRICS.items() if m.quality and any(arm.values(name) for arm in setting.arms)]
    return sorted(found, key=lambda name: name != setting.headline)


def comparison_metrics(setting: Setting) -> list[str]:
    """Return the columns of the comparison table."""
    costs = [name for name in COSTS if any(arm.values(name) for arm in setting.contestants)]
    quality = quality_metrics(setting)
    return quality[:1] + costs + quality[1:]


def ratio(arm: Arm, baseline: Arm | None, metric: str) -> float | None:
    """Return the arm's mean over the baseline's mean."""
    mine, base = arm.mean(metric), baseline.mean(metric) if baseline else None
    return mine / base if mine is not None and base else None


def comparison(setting: Setting, claims: Claims) -> TableView:
    """Build the comparison: one row per contestant, best headline first, with ratios, spreads and marks.

    A control stands below its model, or below all of them, with its quality only: it was given no budget, so its costs
    compare with nothing.
    """
    metrics = comparison_metrics(setting)
    heads = (Head("Model"), Head("Runs"), *(metric_head(name, _kind(setting, name)) for name in metrics))
    rows = []
    for arm in with_controls(setting):
        if arm.control:
            scored = [_compared(arm, setting.baseline, n, "") if METRICS[n].quality else Cell("") for n in metrics]
            finished = Cell(str(len(arm.counted)), len(arm.counted))
            # "eco, random weights" says what it is.
            notes = () if arm.control.startswith("random") else ("control",)
            rows.append(Row((arm_cell(arm, *notes), finished, *scored), "control"))
            continue
        is_base = arm is setting.baseline
        done, planned = len(arm.counted), len(arm.trials)
        runs = Cell(str(done) if done == planned else f"{done} of {planned}", done)
        cells = [_compared(arm, setting.baseline, name, claims.verdict(arm.label, name)) for name in metrics]
        rows.append(Row((arm_cell(arm, *(("baseline",) if is_base else ())), runs, *cells), "base" if is_base else ""))
    return TableView("Comparison of the models", heads, tuple(rows))


def ranked(setting: Setting) -> list[Arm]:
    """Return the contestants, best headline first; those without the figure last."""
    name = setting.headline
    if name is None:
        return setting.contestants
    sign = -1 if METRICS[name].direction == "higher" else 1

    def key(arm: Arm) -> tuple[bool, float]:
        value = arm.mean(name)
        return (value is None, sign * (value or 0.0))

    return sorted(setting.contestants, key=key)


def with_controls(setting: Setting) -> list[Arm]:
    """Return the contestants, best headline first, each followed by its own random weights, then other controls."""
    arms = [one for arm in ranked(setting) for one in (arm, setting.own_random.get(arm)) if one is not None]
    return [*arms, *(control for control in setting.controls if control not in arms)]


def _compared(arm: Arm, baseline: Arm | None, name: str, verdict: str) -> Cell:
    value = arm.mean(name)
    if value is None:
        return Cell("")
    notes = []
    spread = arm.spread(name)
    if spread:
        notes.append(f"± {format_value(name, spread)}")
    if arm is not baseline and (share := ratio(arm, baseline, name)) is not None:
        notes.append(f"× {share:.2f}" if share >= 0.1 else f"× {share:.3f}")
    return Cell(format_value(name, value), value, tuple(notes), verdict)


def _kind(setting: Setting, name: str) -> str:
    metric = METRICS[name]
    if metric.unit != "J":
        return metric.kind
    kinds = sorted({arm.energy_kind for arm in setting.contestants} - {""})
    return " and ".join(kinds)


def controls(setting: Setting) -> TableView:
    """Build the table of controls; random weights name what training made of them, the last row is the best model."""
    metrics = [name for name in quality_metrics(setting) if any(arm.values(name) for arm in setting.controls)]
    if not setting.controls:
        return TableView("Controls")
    trained = {control: arm for arm, control in setting.own_random.items()}
    rows = []
    drawn = [setting.own_random[arm] for arm in ranked(setting) if arm in setting.own_random]
    for arm in (*(control for control in setting.controls if control not in trained), *drawn):
        cells = []
        for name in metrics:
            after = trained[arm].mean(name) if arm in trained else None
            notes = () if after is None else (f"trained: {format_value(name, after)}",)
            cells.append(replace(metric_cell(name, arm.mean(name)), notes=notes))
        rows.append(Row((arm_cell(arm), Cell(str(len(arm.counted))), *cells)))
    rows += [
        Row((arm_cell(arm), Cell(str(len(arm.counted))), *(metric_cell(m, arm.mean(m)) for m in metrics)), "base")
        for arm in ranked(setting)[:1]
    ]
    heads = (Head("Representation"), Head("Runs"), *(metric_head(name) for name in metrics))
    return TableView("Controls", heads, tuple(rows))


def shuffled(setting: Setting) -> TableView:
    """Build the table of the shuffled-label control: one row per arm and task, the worst seed of each shown.

    An error below the interval would say that a probe reads something other than the representation.
    """
    rows = []
    for arm in with_controls(setting):
        found: dict[str, list[Mapping[str, Any]]] = {}
        for trial in arm.counted:
            tasks = (((trial.result or {}).get("tasks") or {}).get("shuffled") or {}).get("tasks") or {}
            for task, entry in tasks.items():
                found.setdefault(task, []).append(entry)
        for task, entries in found.items():
            worst = min(entries, key=lambda e: float(e["error_pct"]) - float(e["guess_error_pct"]))
            texts = [f"{worst[key]:.1f} %" for key in ("error_pct", "guess_error_pct", "majority_error_pct")]
            span = f"{worst['low_pct']:.1f} to {worst['high_pct']:.1f} %"
            verdict = "yes" if all(e["at_chance"] for e in entries) else "no"
            rows.append(Row((arm_cell(arm), Cell(task), *(Cell(t) for t in (*texts, span, verdict)))))
    heads = ("Representation", "Task", "Error", "Chance", "Commonest label", "99 % about chance", "At chance")
    return TableView("Shuffled labels", tuple(Head(text) for text in heads), tuple(rows), text=(0, 1))


_TRANSFER = (
    ("energy_j", "Energy", "energy_total_j"),
    ("duration_s", "Time", "wall_s"),
    ("flops", "FLOPs", "pretrain_flops"),
    ("peak_memory_bytes", "Peak memory", "peak_memory_bytes"),
    ("trained_params", "Trained parameters", "params"),
)


def transfer(setting: Setting) -> TableView:
    """Build the transfer table from the results' ``transfer`` lists: mean over seeds per model, task and strategy.

    Within a model and a task the strategy with the lowest error comes first.
    """
    found: dict[tuple[int, str, str], list[Mapping[str, Any]]] = {}
    for arm in setting.arms:
        for trial in arm.counted:
            for entry in (trial.result or {}).get("transfer") or []:
                key = (setting.arms.index(arm), str(entry.get("task", "")), str(entry.get("strategy", "")))
                found.setdefault(key, []).append(entry)
    means = {key: _mean([number(entry.get("error_pct")) for entry in entries]) for key, entries in found.items()}
    order = sorted(found, key=lambda key: (key[0], key[1], math.inf if means[key] is None else means[key], key[2]))
    rows = []
    for key in order:
        (index, task, strategy), entries, error = key, found[key], means[key]
        costs = [metric_cell(shown, _mean([number(e.get(name)) for e in entries])) for name, _, shown in _TRANSFER]
        factor = _mean([number(entry.get("memory_factor")) for entry in entries])
        rows.append(
            Row(
                (
                    arm_cell(setting.arms[index]),
                    Cell(task),
                    Cell(strategy),
                    Cell(str(len(entries)), len(entries)),
                    Cell("" if error is None else f"{error:.1f} %", error),
                    *costs,
                    Cell("" if factor is None else f"{factor:.2f} ×", factor),
                )
            )
        )
    heads = (Head("Model"), Head("Task"), Head("Strategy"), Head("Runs"), Head("Error", "lower"))
    return TableView(
        "Transfer",
        (*heads, *(Head(label, "lower") for _, label, _ in _TRANSFER), Head("Less memory than full", "higher")),
        tuple(rows),
        text=(0, 1, 2),
    )


def languages(setting: Setting) -> TableView:
    """Build the table of per-language errors of the headline's task, mean over seeds."""
    name = setting.headline or ""
    found: dict[Arm, dict[str, list[float]]] = {}
    for arm in setting.arms:
        for trial in arm.counted:
            kind, _, measure = name.removesuffix("_pct").partition("_")
            task = ((trial.result or {}).get("tasks") or {}).get(kind) or {}
            for language, value in (task.get(f"{measure}_by_language_pct") or {}).items():
                figure = number(value)
                if figure is not None:
                    found.setdefault(arm, {}).setdefault(str(language), []).append(figure)
    tongues = sorted({language for values in found.values() for language in values})
    rows = []
    for arm in with_controls(setting):
        if arm in found:
            means = [_mean(list(found[arm].get(language, []))) for language in tongues]
            css = "control" if arm.control else ""
            rows.append(Row((arm_cell(arm), *(metric_cell(name, mean) for mean in means)), css))
    return TableView(
        "Error by language", (Head("Model"), *(Head(language, "lower") for language in tongues)), tuple(rows)
    )


def _mean(values: list[float | None] | list[float]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
