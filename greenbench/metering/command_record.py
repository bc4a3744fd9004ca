"""The record of a measured command, and the descriptor on which the command may log figures of its own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.carbon import Account, Grid
from greenbench.errors import ConfigError
from greenbench.metering.command_result import Outcome
from greenbench.metering.recording import Ended, Recording
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.records.result import OwnMetric

DESCRIPTOR = "GREENBENCH_METRICS_FD"
"""The environment variable that names the descriptor: one JSON object a line, ``{"accuracy": 0.9}``."""


@dataclass(frozen=True)
class RecordPlan:
    """Where the record of a command goes, its label, and the metrics that the command logs, with what is better."""

    folder: Path
    label: str
    metrics: Mapping[str, OwnMetric] = field(default_factory=dict)


@dataclass(frozen=True)
class Channel:
    """What a command is started with so that it can log."""

    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


NO_CHANNEL = Channel()


class CommandRecord:
    """The run folder of one measured command."""

    def __init__(self, plan: RecordPlan, argv: Sequence[str], grid: Grid) -> None:
        self._recording = Recording(plan.folder, plan.label, argv, grid)
        self._recording.own.update(plan.metrics)
        self._warnings: list[str] = []

    @property
    def journal(self) -> Path:
        """Where the sampler keeps the raw readings."""
        return self._recording.journal

    @contextlib.contextmanager
    def listening(self) -> Iterator[Channel]:
        """Give the command a descriptor; what it wrote there is read when it has ended.

        It is a file, not a pipe: a command that logs much never waits for a reader.
        """
        with tempfile.TemporaryFile() as file:
            yield Channel({DESCRIPTOR: str(file.fileno())}, (file.fileno(),))
            file.seek(0)
            for number, line in enumerate(file.read().decode(errors="replace").splitlines(), start=1):
                self._take(number, line)

    def _take(self, number: int, line: str) -> None:
        try:
            figures = json.loads(line)
            if not isinstance(figures, dict):
                raise ConfigError("expected a JSON object")
            step = figures.pop("step", None)
            self._recording.log(figures, step if isinstance(step, int) else None)
        except (ValueError, ConfigError) as error:
            self._warnings.append(f"line {number} of the command's metrics is left out: {error}")

    def finish(
        self,
        outcome: Outcome,
        window: WindowEnergy | None,
        emitted: Account,
        ready: Mapping[str, object],
        warnings: list[str],
    ) -> None:
        """Write the result; a command that failed leaves a failed record, one that a budget stopped a whole one."""
        failed = outcome.exit_code != 0 and not outcome.stopped
        missing = sorted(set(self._recording.own) - set(self._recording.last))
        if missing and not failed:
            self._warnings.append(f"the command logged no {', '.join(missing)} to ${DESCRIPTOR}")
        warnings += self._warnings
        ended = Ended(
            outcome.begin_ns,
            outcome.end_ns,
            window,
            emitted,
            error=f"exit code {outcome.exit_code}" if failed else None,
            peak_memory_bytes=outcome.peak_memory_bytes,
            warnings=warnings,
        )
        self._recording.finish(ended, ready)
