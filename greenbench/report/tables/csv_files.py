"""The tables a report leaves behind: CSV with fixed columns, one row per trial, phase or logged step."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from greenbench.metrics import IDENTITY_COLUMNS, METRICS
from greenbench.records import SCHEMA_VERSION, Trial
from greenbench.records.files import number
from greenbench.units import hours

RESULT_COLUMNS = (*IDENTITY_COLUMNS, *(name for name, metric in METRICS.items() if not metric.own))
_KEY = ("suite", "model", "control", "size", "seed")
PHASE_COLUMNS = (
    *_KEY,
    "session",
    "phase",
    "budgeted",
    "begin_s",
    "duration_s",
    "energy_j",
    "energy_low_j",
    "energy_high_j",
    "mean_power_w",
    "kind",
)
CURVE_COLUMNS = (*_KEY, "step", "fraction", "seconds", "audio_h", "joules", "co2e_g", "loss", "lr")
TRANSFER_COLUMNS = (
    *_KEY,
    "task",
    "strategy",
    "metric",
    "error_pct",
    "energy_j",
    "energy_kind",
    "duration_s",
    "flops",
    "steps",
    "audio_h",
    "peak_memory_bytes",
    "step_memory_bytes",
    "cache_bytes",
    "memory_factor",
    "trained_params",
    "trained_pct",
    "head_params",
    "total_params",
    "budget_kind",
    "budget_limit",
)


def cell(value: Any) -> Any:
    """What stands in a CSV cell: empty for absent and for what is no finite number; never 0 in its place."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if number(value) is None:
            return ""
        return int(value) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value


def result_columns(trials: Iterable[Trial]) -> tuple[str, ...]:
    """The columns of ``results.csv``: the fixed ones, then what the trials' own programs logged."""
    own = (name for trial in trials if trial.result for name in trial.result.own_metrics)
    return (*RESULT_COLUMNS, *dict.fromkeys(own))


def result_row(trial: Trial) -> dict[str, Any]:
    """A trial's row of ``results.csv``; a trial without a result still has its identity."""
    kind, limit = trial.budget
    identity: dict[str, object] = {
        **_key(trial),
        "schema_version": trial.manifest.schema_version or SCHEMA_VERSION,
        "family": trial.family,
        "device": trial.device,
        "gpu": " + ".join(gpu.name or "" for gpu in trial.gpus),
        "dtype": trial.dtype,
        "budget_kind": kind,
        "budget_limit": limit,
        "data": trial.data.spec,
        "data_fingerprint": trial.data.fingerprint,
        "run_dir": trial.path.name,
    }
    row = {key: value for key, value in identity.items() if value not in (None, "")}
    row.update({key: value for key, value in trial.row.items() if value is not None})
    row["status"] = trial.status
    if trial.result is not None:
        row.setdefault("valid", trial.valid)
        row.setdefault("resumed", trial.result.resumed)
    return row


def phase_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``phases.csv``."""
    key = _key(trial)
    for phase in trial.phases:
        yield {**key, **vars(phase)}


def curve_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``curves.csv``: what the journal logged, in the report's units."""
    key = _key(trial)
    for point in trial.learning_curve:
        audio_s = point.figure("audio_s")
        audio_h = None if audio_s is None else hours(audio_s)
        yield {**key, **point.figures, "step": point.step, "audio_h": audio_h, "co2e_g": point.figure("grams")}


def transfer_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``transfer.csv``: one a task and strategy. A kind stands only where there are joules."""
    key = _key(trial)
    for score in trial.transfer:
        yield {**key, **vars(score), "energy_kind": None if score.energy_j is None else trial.energy_kind}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under fixed columns; what a row does not have is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, columns, rows)


def write_rows(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write head and rows to an open text file."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(column)) for column in columns])


def _key(trial: Trial) -> dict[str, Any]:
    return {
        "suite": trial.suite,
        "model": trial.label,
        "control": trial.control,
        "size": trial.size,
        "seed": trial.seed,
    }
