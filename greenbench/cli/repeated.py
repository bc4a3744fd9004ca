"""``greenbench measure`` once or many times over, alone or in turns with another command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.cli.options import emit
from greenbench.errors import ConfigError
from greenbench.metering.command import measure_command, print_table
from greenbench.metering.command_record import RecordPlan
from greenbench.metering.recording import parse_metric
from greenbench.units import format_duration, format_si


@dataclass(frozen=True)
class Repetition:
    """What ``measure`` was asked beside how to meter: commands, how often, and where records go."""

    argv: Sequence[str]
    record: Path | None = None
    label: str | None = None
    metrics: Sequence[str] = ()
    repeat: int = 1
    interleave: str | None = None
    other_label: str = "b"

    def check(self) -> None:
        """Refuse what needs a record where none is left.

        Raises:
            ConfigError: the option that needs --record.
        """
        given = {
            "--label": self.label,
            "--metric": self.metrics,
            "--repeat": self.repeat > 1,
            "--interleave": self.interleave,
        }
        needing = [name for name, value in given.items() if value]
        if self.record is None and needing:
            raise ConfigError(f"measure {needing[0]}: needs --record DIR, where its records go")
        if self.interleave is not None and self.other_label == (self.label or "a"):
            raise ConfigError(
                f"measure --interleave: both commands are called {self.other_label!r}; give --other-label"
            )

    def turns(self) -> Iterator[tuple[Sequence[str], str]]:
        """The commands in order, with their labels: A B B A, so that a machine that warms up favours neither."""
        mine = (self.argv, self.label or "a")
        if self.interleave is None:
            yield from [mine] * self.repeat
            return
        other = (shlex.split(self.interleave), self.other_label)
        for number in range(self.repeat):
            yield from (mine, other) if number % 2 == 0 else (other, mine)


def measure_repeatedly(asked: Repetition, *, as_json: bool, **options: Any) -> int:
    """Meter every turn and print it; return the first exit code that is not 0.

    Raises:
        ConfigError: see :meth:`Repetition.check` and ``measure_command``.
    """
    asked.check()
    metrics = dict(parse_metric(text) for text in asked.metrics)
    turns, results = list(asked.turns()), []
    for number, (argv, label) in enumerate(turns, start=1):
        plan = RecordPlan(asked.record, label, metrics) if asked.record else None
        results.append(measure_command(argv, record=plan, **options))
        if len(turns) > 1:
            _say(number, len(turns), label, results[-1])
    if len(turns) == 1:
        emit(results[0]) if as_json else print_table(results[0])
    else:
        _print_all(asked, results, as_json=as_json)
    return next((int(r["exit_code"]) for r in results if r["exit_code"]), 0)


def _say(number: int, of: int, label: str, result: dict[str, Any]) -> None:
    energy = format_si(result["energy_j"], "J") or "no energy"
    failed = f", exit code {result['exit_code']}" if result["exit_code"] else ""
    time_text = format_duration(result["duration_s"])
    print(f"{number} of {of}: {label}, {energy} ({result['energy_source']}), {time_text}{failed}", file=sys.stderr)


def _print_all(asked: Repetition, results: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    from greenbench.compare import compare, print_comparisons
    from greenbench.records import find_trials

    found = None
    if asked.interleave is not None and asked.record is not None:
        trials = find_trials([asked.record])
        sides = ([t for t in trials if t.label == label] for label in (asked.label or "a", asked.other_label))
        found = compare(*sides)
    if as_json:
        emit({"runs": results, "comparison": found})
    elif found is not None:
        print_comparisons(found)
