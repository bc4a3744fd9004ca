"""The run folder: what is written, when, and how it is read back.

``manifest.json`` is written first, journals (``events.jsonl``, ``metrics.jsonl``) are append-only with one line per
write, and ``result.json`` is written last and atomically: its presence is the completion marker. A torn last line of a
journal is ignored. Times are ``time.monotonic_ns`` of the host's boot, with wall time beside them.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from greenbench.errors import DataError, OutputError

SCHEMA_VERSION = 2

MANIFEST, EVENTS, METRICS, RESULT, POWER = (
    "manifest.json",
    "events.jsonl",
    "metrics.jsonl",
    "result.json",
    "power.csv.gz",
)
OUTCOME, LIVE, CHECKPOINTS = "outcome.json", "live.bin", "checkpoints"

PHASES = ("idle", "idle_context", "setup", "features", "targets", "compile", "pretrain", "checkpoint", "evaluate")
BUDGETED_PHASES = ("features", "targets", "compile", "pretrain")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON atomically: a reader sees the old file or the whole new one. NaN and infinity become null."""
    text = json.dumps(_clean(value), indent=1, ensure_ascii=False)
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another --out"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a damaged file is a :class:`DataError` that names it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); remove the trial's folder to run it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object")
    return value


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a journal; a torn line (a crash in mid-write) is skipped, a missing file is empty."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def _clean(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        return _clean(value.item())
    return str(value) if isinstance(value, Path) else value


class Journal:
    """Append-only JSON lines, one ``write`` call a line, so that a crash tears at most the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("ab", buffering=0)
        # A crash may have left a line without its end; the next one must not be glued to it.
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def write(self, **fields: Any) -> None:
        """Append one object with the monotonic (``t_mono_ns``) and the wall clock (``t_wall_s``)."""
        record = {"t_mono_ns": time.monotonic_ns(), "t_wall_s": round(time.time(), 3), **fields}
        self._file.write((json.dumps(_clean(record), ensure_ascii=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class PhaseSpan:
    """One stretch of a phase, from its begin event to its end (or to the last sign of life before a crash)."""

    phase: str
    begin_ns: int
    end_ns: int
    session: int
    complete: bool

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True)
class Trial:
    """A trial's folder as it lies on disk. Nothing is cached in memory beyond the files' own content."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    result: dict[str, Any] | None = field(repr=False)

    @property
    def complete(self) -> bool:
        """Return whether the trial ended with a result."""
        return self.result is not None

    @property
    def row(self) -> dict[str, Any]:
        """Return the row of ``results.csv``: identity columns and metrics, absent ones missing."""
        return dict(self.result["row"]) if self.result else {}

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Return the journal of events."""
        return list(read_jsonl(self.path / EVENTS))

    @cached_property
    def curve(self) -> list[dict[str, Any]]:
        """Return the journal of training metrics, steps that a crash threw away left out."""
        kept: list[dict[str, Any]] = []
        for record in read_jsonl(self.path / METRICS):
            step = record.get("step", 0)
            while kept and kept[-1].get("step", 0) >= step:
                kept.pop()
            kept.append(record)
        return kept


def phase_spans(events: Iterable[Mapping[str, Any]]) -> list[PhaseSpan]:
    """Return the phases in order. A phase without an end (a crash) ends at the session's last event."""
    spans: list[PhaseSpan] = []
    open_phase: dict[str, int] = {}
    session, last_ns = 0, 0
    for event in events:
        kind, now = event.get("event"), int(event["t_mono_ns"])
        if kind == "warning":  # written after the fact, when the trial and its sampler have ended
            continue
        if kind == "session":
            spans += [PhaseSpan(name, begin, last_ns, session, complete=False) for name, begin in open_phase.items()]
            open_phase.clear()
            session = int(event.get("session", session + 1))
        elif kind == "begin":
            open_phase[str(event["phase"])] = now
        elif kind == "end" and str(event["phase"]) in open_phase:
            name = str(event["phase"])
            spans.append(PhaseSpan(name, open_phase.pop(name), now, session, complete=True))
        last_ns = now
    spans += [PhaseSpan(name, begin, last_ns, session, complete=False) for name, begin in open_phase.items()]
    return spans


def load_trial(path: Path) -> Trial:
    """Load one trial folder. Raises :class:`DataError` for a missing or too new manifest."""
    manifest = read_json(path / MANIFEST)
    version = int(manifest.get("schema_version", 0))
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path / MANIFEST}: schema_version {version} is newer than {SCHEMA_VERSION}; update greenbench"
        )
    result = read_json(path / RESULT) if (path / RESULT).exists() else None
    return Trial(path, manifest, _upgraded(result))


def _upgraded(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """Bring a result of an older schema to the present one. Until version 1 PUE was multiplied into ``co2e_g``."""
    if result is None or int(result.get("schema_version", 0)) >= 2:
        return result
    row = dict(result.get("row") or {})
    pue = row.get("pue") or 1.0
    if pue > 1 and "co2e_g" in row:
        whole_g = row["co2e_g"]
        row |= {key: row[key] / pue for key in ("co2e_g", "co2e_low_g", "co2e_high_g") if key in row}
        row["overhead_g"] = whole_g - row["co2e_g"]
    return {**result, "row": row}


def find_trials(paths: Iterable[Path]) -> list[Trial]:
    """Load all trials below the given run folders (or trial folders), in a stable order."""
    trials = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such run folder")
        found = [path] if (path / MANIFEST).exists() else sorted(p.parent for p in path.glob(f"*/{MANIFEST}"))
        if not found:
            raise DataError(f"{path}: holds no trial (no */{MANIFEST}); give a folder written by greenbench run")
        trials += [load_trial(folder) for folder in found]
    return trials
