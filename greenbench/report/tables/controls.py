"""What a probe achieves without training: log-mel, random weights, shuffled labels."""

from __future__ import annotations

from dataclasses import replace

from greenbench.metrics import format_value
from greenbench.records.result import ShuffledScore
from greenbench.report.arms import Setting
from greenbench.report.ranking import quality_metrics, ranked, with_controls
from greenbench.report.tables.cells import Cell, Head, Row, TableView, arm_cell, metric_cell, metric_head


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
        found: dict[str, list[ShuffledScore]] = {}
        for trial in arm.counted:
            for task, score in trial.shuffled.items():
                found.setdefault(task, []).append(score)
        for task, scores in found.items():
            worst = min(scores, key=lambda score: score.error_pct - score.guess_error_pct)
            texts = [f"{value:.1f} %" for value in (worst.error_pct, worst.guess_error_pct, worst.majority_error_pct)]
            span = f"{worst.low_pct:.1f} to {worst.high_pct:.1f} %"
            verdict = "yes" if all(score.at_chance for score in scores) else "no"
            rows.append(Row((arm_cell(arm), Cell(task), *(Cell(t) for t in (*texts, span, verdict)))))
    heads = ("Representation", "Task", "Error", "Chance", "Commonest label", "99 % about chance", "At chance")
    return TableView("Shuffled labels", tuple(Head(text) for text in heads), tuple(rows), text=(0, 1))
