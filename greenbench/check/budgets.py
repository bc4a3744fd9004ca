"""``budgets.toml``: what a run may cost, entry by entry."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from greenbench.errors import ConfigError, did_you_mean
from greenbench.metrics import METRICS
from greenbench.schema import build, read_toml

# These follow from the model alone: the same code gives the same figure, so one run decides exactly.
STATIC_METRICS = (
    "params",
    "macs_per_audio_s",
    "flops_forward_per_audio_s",
    "flops_train_per_audio_s",
    "peak_train_memory_bytes",
)
_LIMITS = ("ceiling", "floor", "max_increase", "max_decrease")


@dataclass(frozen=True)
class Budget:
    """One entry: a metric, what it applies to and exactly one limit.

    ``ceiling`` and ``floor`` are in the metric's unit; ``max_increase`` and ``max_decrease`` are fractions of the
    baseline (``0.05``, or ``"5 %"``). ``min_runs`` is needed on each side before a noisy metric is decided; ``alpha``
    the accepted rate of false alarms; an entry of severity ``warn`` never fails the check.
    """

    metric: str
    suite: str = "*"
    model: str = "*"
    size: str = "*"
    ceiling: float | str | None = None
    floor: float | str | None = None
    max_increase: float | str | None = None
    max_decrease: float | str | None = None
    min_runs: int = 1
    alpha: float = 0.05
    severity: Literal["fail", "warn"] = "fail"
    line: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS and self.metric not in STATIC_METRICS:
            raise ValueError(
                f"metric {self.metric!r} is unknown{did_you_mean(self.metric, [*METRICS, *STATIC_METRICS])}"
            )
        given = [name for name in _LIMITS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{self.metric}: exactly one of {', '.join(_LIMITS)} is needed, found {', '.join(given) or 'none'}"
            )
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"{self.metric}: alpha = {self.alpha:g} must lie between 0 and 0.5, for example 0.05")
        if self.min_runs < 1:
            raise ValueError(f"{self.metric}: min_runs = {self.min_runs} must be 1 or more")
        if not math.isfinite(self.limit):
            raise ValueError(f"{self.metric}: {self.kind} must be a finite number")
        if self.relative and self.limit < 0:
            raise ValueError(f"{self.metric}: {self.kind} must not be negative, found {self.limit:g}")

    @property
    def kind(self) -> str:
        """Which limit is given."""
        return next(name for name in _LIMITS if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The limit: the metric's unit, or a fraction where :attr:`relative`."""
        return _fraction(getattr(self, self.kind), self.metric)

    @property
    def relative(self) -> bool:
        """Whether the limit is held against a baseline."""
        return self.kind.startswith("max_")

    @property
    def sign(self) -> int:
        """+1 where more is worse, -1 where less is worse."""
        return 1 if self.kind in ("ceiling", "max_increase") else -1

    @property
    def exact(self) -> bool:
        """Whether the metric is deterministic."""
        return self.metric in STATIC_METRICS

    def covers(self, suite: str, model: str, size: str) -> bool:
        """Whether the entry applies to a model of a suite."""
        return fnmatchcase(suite, self.suite) and fnmatchcase(model, self.model) and fnmatchcase(size, self.size)

    @property
    def scope(self) -> str:
        """The scope as text: ``suite/model`` globs and the size."""
        return f"{self.suite}/{self.model}" + (f" ({self.size})" if self.size != "*" else "")


@dataclass(frozen=True)
class Gate:
    """A checked budgets file. ``undecidable`` says what an undecided check does: ``report`` (exit 3), pass or fail."""

    budgets: tuple[Budget, ...]
    undecidable: Literal["report", "pass", "fail"] = "report"
    path: str = ""


@dataclass(frozen=True)
class _GateSection:
    undecidable: Literal["report", "pass", "fail"] = "report"


def load_budgets(path: Path) -> Gate:
    """Load ``budgets.toml``; a wrong key, metric or limit is a :class:`ConfigError` that names it."""
    table = read_toml(path)
    allowed = ("budget", "gate")
    for key in table:
        if key not in allowed:
            raise ConfigError(f"{path}: unknown table [{key}]{did_you_mean(key, allowed)}")
    entries = table.get("budget", [])
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: holds no [[budget]]; add at least one with metric and ceiling or max_increase")
    lines = _lines(path)
    budgets = tuple(_entry(entry, i, lines[i] if i < len(lines) else 0, path) for i, entry in enumerate(entries))
    gate = build(_GateSection, table.get("gate", {}), f"{path} [gate]")
    return Gate(budgets, gate.undecidable, str(path))


def _entry(entry: Any, index: int, line: int, path: Path) -> Budget:
    where = f"{path} [[budget]] #{index + 1}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: expected a table, found {entry!r}")
    if "line" in entry:
        raise ConfigError(f"{where}: unknown key 'line'")
    return build(Budget, {**entry, "line": line}, where)


def _lines(path: Path) -> list[int]:
    """The line of each ``[[budget]]``, for annotations that point to it."""
    text = path.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(text, start=1) if re.match(r"\s*\[\[\s*budget\s*\]\]", line)]


def _fraction(value: float | str, metric: str) -> float:
    if not isinstance(value, str):
        return float(value)
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*%\s*", value)
    if match is None:
        raise ValueError(f"{metric}: limit {value!r} is neither a number nor a percentage like '5 %'")
    return float(match.group(1)) / 100
