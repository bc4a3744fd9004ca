"""JSON for tools that follow a figure over commits: github-action-benchmark and Bencher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from greenbench.metrics import METRICS

_UNITS = {"macs_per_audio_s": "MAC/s", "peak_train_memory_bytes": "B"}


def github_action_benchmark(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """``{"customSmallerIsBetter": [...], "customBiggerIsBetter": [...]}``, each the content of one input file.

    Format: https://github.com/benchmark-action/github-action-benchmark, ``tool: customSmallerIsBetter``.
    """
    files: dict[str, list[dict[str, Any]]] = {"customSmallerIsBetter": [], "customBiggerIsBetter": []}
    for entry in _figures(result):
        metric = entry["metric"]
        bigger = metric in METRICS and METRICS[metric].direction == "higher"
        item = {
            "name": f"{entry['scope']}: {metric}",
            "unit": unit(metric),
            "value": entry["value"],
            "extra": entry["reason"],
        }
        files["customBiggerIsBetter" if bigger else "customSmallerIsBetter"].append(item)
    return files


def bencher(result: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Bencher Metric Format, ``{benchmark: {measure: {"value": ...}}}`` (https://bencher.dev, adapter json)."""
    report: dict[str, dict[str, dict[str, float]]] = {}
    for entry in _figures(result):
        report.setdefault(entry["scope"], {})[entry["metric"]] = {"value": entry["value"]}
    return report


def unit(metric: str) -> str:
    """A metric's unit."""
    return METRICS[metric].unit if metric in METRICS else _UNITS.get(metric, "")


def _figures(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    seen = set()
    for entry in result["entries"]:
        key = (entry["scope"], entry["metric"])
        # Absent is left out: a tracker would draw 0 as the best run ever.
        if entry["value"] is not None and key not in seen:
            seen.add(key)
            yield entry
