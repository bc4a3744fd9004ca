"""Counted costs, kept in the cache: the same options, code and libraries give the same figures.

Only shipped models whose architecture is all in their options are kept. What a file of one's own imports, or a folder
of ``transformers`` holds, cannot be known from here.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from greenbench.config.suite import digest
from greenbench.cost.figures import Cost
from greenbench.errors import GreenbenchError
from greenbench.records import read_json, write_json
from greenbench.resources import cache_dir
from greenbench.schema import build

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec

FOLDER = "costs"
_LIBRARIES = ("torch", "transformers", "fvcore")
_COUNTED_PACKAGES = ("models", "cost", "features", "batches")


def stored_cost(
    spec: ModelSpec, *, seconds: float, batch: int = 1, fvcore: bool = True, layer_drop: float = 0.0
) -> Cost:
    """Count a contestant as :func:`greenbench.cost.model_cost.count` does, or read what was counted before."""
    key = {"spec": asdict(spec), "seconds": seconds, "batch": batch, "fvcore": fvcore, "layer_drop": layer_drop}
    path = cache_dir() / FOLDER / f"{digest({**key, 'sources': _sources()}, length=32)}.json"
    kept = _read(path) if _is_known_whole(spec) else None
    if kept is not None:
        return kept
    # Threads that wait by spinning took more time than counting did; torch reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from greenbench.cost.model_cost import count

    cost = count(spec, seconds=seconds, batch=batch, fvcore=fvcore, layer_drop=layer_drop)
    if _is_known_whole(spec):
        _write(path, cost)
    return cost


def _read(path: Path) -> Cost | None:
    try:
        return build(Cost, read_json(path), str(path))
    except (GreenbenchError, OSError, ValueError):
        return None  # not there, or torn: counted again


def _write(path: Path, cost: Cost) -> None:
    with contextlib.suppress(GreenbenchError, OSError):  # without a cache it is counted each time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(cost))


def _is_known_whole(spec: ModelSpec) -> bool:
    teacher = spec.architecture.get("teacher", {})
    elsewhere = spec.architecture.get("source") or (isinstance(teacher, dict) and teacher.get("source"))
    return spec.code.startswith("greenbench.") and not elsewhere


@functools.cache
def _sources() -> str:
    """Fingerprint the code that counts and is counted, and the libraries under it."""
    package = Path(__file__).resolve().parents[1]
    found = hashlib.sha256(platform.python_version().encode())
    for name in _LIBRARIES:
        found.update(f"{name} {importlib.metadata.version(name)}".encode())
    for path in sorted(p for room in _COUNTED_PACKAGES for p in (package / room).rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
