"""What adapting a representation to a task costs and buys, and the headline error language by language."""

from __future__ import annotations

import math
from collections.abc import Sequence

from greenbench.records.result import TransferScore
from greenbench.report.arms import Arm, Setting
from greenbench.report.ranking import with_controls
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell, metric_cell

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
    found: dict[tuple[int, str, str], list[TransferScore]] = {}
    for arm in setting.arms:
        for trial in arm.counted:
            for score in trial.transfer:
                found.setdefault((setting.arms.index(arm), score.task, score.strategy), []).append(score)
    means = {key: _mean([score.error_pct for score in scores]) for key, scores in found.items()}
    order = sorted(found, key=lambda key: (key[0], key[1], math.inf if means[key] is None else means[key], key[2]))
    rows = []
    for key in order:
        (index, task, strategy), scores, error = key, found[key], means[key]
        costs = [metric_cell(shown, _mean([getattr(s, name) for s in scores])) for name, _, shown in _TRANSFER]
        factor = _mean([score.memory_factor for score in scores])
        rows.append(
            Row(
                (
                    arm_cell(setting.arms[index]),
                    Cell(task),
                    Cell(strategy),
                    Cell(str(len(scores)), len(scores)),
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
            task, _, measure = name.removesuffix("_pct").partition("_")
            for language, value in trial.by_language(task, measure).items():
                found.setdefault(arm, {}).setdefault(language, []).append(value)
    tongues = sorted({language for values in found.values() for language in values})
    rows = []
    for arm in with_controls(setting):
        if arm in found:
            means = [_mean(found[arm].get(language, [])) for language in tongues]
            css = "control" if arm.control else ""
            rows.append(Row((arm_cell(arm), *(metric_cell(name, mean) for mean in means)), css))
    return TableView(
        "Error by language", (Head("Model"), *(Head(language, "lower") for language in tongues)), tuple(rows)
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
