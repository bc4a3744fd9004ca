"""Means per model for tools that follow figures over commits."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from greenbench.metrics import METRICS
from greenbench.report.arms import Setting


def _figures(settings: Sequence[Setting]) -> Iterator[tuple[str, str, list[float]]]:
    for setting in settings:
        for arm in setting.contestants:
            for name, metric in METRICS.items():
                values = list(arm.values(name).values())
                if values and metric.direction != "none":
                    yield f"{'/'.join(setting.suites)}/{arm.label}", name, values


def github_action_benchmark(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """``customSmallerIsBetter`` entries: means, the spread as range; what is better when bigger is left out."""
    entries = []
    for scope, name, values in _figures(settings):
        metric = METRICS[name]
        if metric.direction == "lower":
            entry: dict[str, Any] = {"name": f"{scope}: {name}", "unit": metric.unit, "value": statistics.fmean(values)}
            if len(values) > 1:
                entry["range"] = f"± {statistics.stdev(values):.4g}"
            entry["extra"] = f"{len(values)} runs"
            entries.append(entry)
    return entries


def bencher(settings: Sequence[Setting]) -> dict[str, dict[str, dict[str, float]]]:
    """Bencher Metric Format: mean, and the range over seeds as lower and upper value."""
    report: dict[str, dict[str, dict[str, float]]] = {}
    for scope, name, values in _figures(settings):
        measure = {"value": statistics.fmean(values)}
        if len(values) > 1:
            measure |= {"lower_value": min(values), "upper_value": max(values)}
        report.setdefault(scope, {})[name] = measure
    return report
