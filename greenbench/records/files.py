"""The files of a trial's folder by name, and JSON that is written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.errors import DamagedTrialError, DataError, OutputError

SCHEMA_VERSION = 3

MANIFEST, EVENTS, METRICS, RESULT, POWER = (
    "manifest.json",
    "events.jsonl",
    "metrics.jsonl",
    "result.json",
    "power.csv.gz",
)
SENSORS, CARBON, OUTCOME = "sensors.json", "carbon.json", "outcome.json"
_MOST_BYTES = 256 * 2**20
LIVE, CHECKPOINTS = "live.bin", "checkpoints"


def write_json(path: Path, value: object) -> None:
    """Write a mapping or a dataclass as JSON, atomically: a reader sees the old file or the whole new one.

    NaN and infinity become null.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, json.dumps(clean(value), indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text atomically: a reader sees the old one or the whole new one.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another --out"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is missing, damaged or holds something else.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: has {path.stat().st_size} bytes, which no file of a trial has; is it one?")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedTrialError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object")
    return value


def clean(value: Any) -> Any:
    """Turn dataclasses, numpy scalars and paths into what JSON knows, and figures that are not finite into null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: clean(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        return clean(value.item())
    return str(value) if isinstance(value, Path) else value


def number(value: object) -> float | None:
    """Read a finite number; None for anything else: what is absent never becomes a figure."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of 400 digits
        return None
