"""The tables a report leaves behind: CSV with fixed columns, one row per trial, phase or logged step."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from greenbench.metrics import IDENTITY_COLUMNS, METRICS
from greenbench.records import SCHEMA_VERSION, Trial
from greenbench.report.arms import budget_of, energy_kind, number, status

RESULT_COLUMNS = (*IDENTITY_COLUMNS, *METRICS)
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
    """Return what stands in a CSV cell: empty for absent and for what is no finite number; never 0 in its place."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if number(value) is None:
            return ""
        return int(value) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value


def result_row(trial: Trial) -> dict[str, Any]:
    """Return a trial's row of ``results.csv``; a trial without a result still has its identity."""
    manifest = trial.manifest
    gpus = " + ".join(str(g.get("name") or "") for g in manifest.get("gpu") or [])
    kind, limit = budget_of(trial)
    identity = {
        "schema_version": manifest.get("schema_version", SCHEMA_VERSION),
        "suite": manifest.get("suite"),
        "model": manifest.get("label"),
        "family": manifest.get("family"),
        "size": manifest.get("size"),
        "seed": manifest.get("seed"),
        "control": manifest.get("control"),
        "device": manifest.get("device"),
        "gpu": gpus or None,
        "dtype": manifest.get("dtype"),
        "budget_kind": kind or None,
        "budget_limit": limit,
        "data": (manifest.get("data") or {}).get("spec"),
        "data_fingerprint": (manifest.get("data") or {}).get("fingerprint"),
        "run_dir": trial.path.name,
    }
    row = {key: value for key, value in identity.items() if value is not None}
    row.update({key: value for key, value in trial.row.items() if value is not None})
    row["status"] = status(trial)
    if trial.result is not None:
        row.setdefault("valid", trial.result.get("valid"))
        row.setdefault("resumed", trial.result.get("resumed"))
    return row


def phase_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``phases.csv``."""
    key = _key(trial)
    for phase in (trial.result or {}).get("phases") or []:
        yield {**key, **phase}


def curve_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``curves.csv``: what the journal logged, in the report's units."""
    key = _key(trial)
    for record in trial.curve:
        audio_s = number(record.get("audio_s"))
        yield {**key, **record, "audio_h": None if audio_s is None else audio_s / 3600, "co2e_g": record.get("grams")}


def transfer_rows(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield a trial's rows of ``transfer.csv``: one a task and strategy. A kind stands only where there are joules."""
    key = _key(trial)
    for entry in (trial.result or {}).get("transfer") or []:
        known = number(entry.get("energy_j")) is not None
        yield {**key, **entry, "energy_kind": energy_kind(trial) if known else None}


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
    manifest = trial.manifest
    return {
        "suite": manifest.get("suite"),
        "model": manifest.get("label"),
        "control": manifest.get("control"),
        "size": manifest.get("size"),
        "seed": manifest.get("seed"),
    }
