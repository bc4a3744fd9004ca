"""A ladder: the arms of one run in the suite's order, each held against the one before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from greenbench.compare.comparable import check_comparable
from greenbench.compare.table import ALPHA, CORRECTION, compare_arms
from greenbench.errors import DataError
from greenbench.metrics import METRICS
from greenbench.records import Trial

FIGURES = ("energy_budgeted_j", "pretrain_flops", "audio_h", "steps")


def ladder(trials: Sequence[Trial], *, alpha: float = ALPHA) -> dict[str, Any]:
    """The steps of a run, lowest first, each with its means and its comparisons against the step below.

    ``memory_counted_bytes`` is the predicted peak of a training step on one crop, None where nothing was counted.
    Controls are no steps; a model without a complete run is left out and named in ``notes``.

    Raises:
        DataError: fewer than two models have a complete run.
        IncomparableError: the trials differ in hardware, dtype, data, budget or test sets.
    """
    contestants = [t for t in trials if not t.control]
    arms: dict[str, list[Trial]] = {label: [] for label in _order(contestants)}
    for trial in contestants:
        if trial.status == "ok":
            arms[trial.label].append(trial)
    notes = [f"{label}: no complete run, left out" for label, arm in arms.items() if not arm]
    climbed = [arm for arm in arms.values() if arm]
    if len(climbed) < 2:
        raise DataError("a ladder needs two models with complete runs; finish the run with greenbench run --resume")
    check_comparable([trial for arm in climbed for trial in arm])
    steps = [
        _step_of(arm) | {"comparisons": [asdict(c) for c in compare_arms(below, arm, alpha=alpha)] if below else []}
        for below, arm in zip([None, *climbed], climbed, strict=False)
    ]
    return {"steps": steps, "alpha": alpha, "correction": CORRECTION, "notes": notes}


def _order(trials: Sequence[Trial]) -> list[str]:
    """The labels as the suites list them; what no suite lists comes last."""
    listed = [label for trial in trials for label in trial.listed_models]
    present = [trial.label for trial in trials]
    return [label for label in dict.fromkeys([*listed, *present]) if label in present]


def _step_of(arm: Sequence[Trial]) -> dict[str, Any]:
    names = [name for name, metric in METRICS.items() if metric.quality or name in FIGURES]
    means = {name: mean for name in names if (mean := _mean([t.figure(name) for t in arm])) is not None}
    memory = _mean([t.result.cost.peak_train_memory_bytes for t in arm if t.result and t.result.cost])
    return {"label": arm[0].label, "n": len(arm), "means": means, "memory_counted_bytes": memory}


def _mean(values: Sequence[float | None]) -> float | None:
    found = [float(value) for value in values if value is not None]
    return math.fsum(found) / len(found) if found else None
