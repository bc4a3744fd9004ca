"""A metered program of the user's own as a run folder like a trial's, for ``compare``, ``check`` and ``export``."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from greenbench.carbon import Account, Grid
from greenbench.errors import ConfigError, OutputError, did_you_mean
from greenbench.metering.energy_records import energy_record, phase_energy
from greenbench.metrics import declare_own
from greenbench.records import (
    EVENTS,
    MANIFEST,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    SENSORS,
    CarbonPlan,
    Journal,
    Manifest,
    Result,
    write_json,
)
from greenbench.records import METRICS as METRICS_FILE
from greenbench.records.folder_names import folder_name, read_name
from greenbench.records.host import describe_host, git_state, package_versions
from greenbench.records.result import OWN_CODE, CarbonRecord, Direction, EnergySummary, OwnMetric
from greenbench.records.sensors import sensors_of

if TYPE_CHECKING:
    from greenbench.power.journal.window_energy import WindowEnergy

DIRECTIONS = ("lower", "higher", "none")
_LABEL = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True)
class Span:
    """A phase of a recorded program: its edges (monotonic) and what it took."""

    name: str
    begin_ns: int
    end_ns: int
    energy: WindowEnergy


@dataclass(frozen=True)
class Ended:
    """How a recorded program ended; ``window`` is None where no journal could be read."""

    begin_ns: int
    end_ns: int
    window: WindowEnergy | None
    account: Account
    spans: Sequence[Span] = ()
    error: str | None = None
    peak_memory_bytes: int | None = None
    warnings: Sequence[str] = ()


def parse_metric(text: str) -> tuple[str, OwnMetric]:
    """Parse ``accuracy=higher`` or ``loss=lower``.

    Raises:
        ConfigError: no direction, an unknown one, or a name of the registry.
    """
    name, _, direction = text.partition("=")
    return name, declared(name, direction)


def declared(name: str, direction: str, unit: str = "") -> OwnMetric:
    """A metric of the user's own with what is better.

    Raises:
        ConfigError: an unknown direction, or a name that greenbench's own metrics have.
    """
    if direction not in DIRECTIONS:
        raise ConfigError(
            f"metric {name}={direction}: unknown direction {direction!r}{did_you_mean(direction, DIRECTIONS)}"
        )
    found = OwnMetric(cast("Direction", direction), unit)
    declare_own(name, found.direction, unit)
    return found


class Recording:
    """A run folder in the making: ``<folder>/<label>-s<number>-<hash>``, numbered by the runs of that label.

    Args:
        folder: where the records of several runs lie; created.
        label: what is compared with what: letters, digits, ``_ . + -``.
        argv: the command, for the manifest; records of the same label should have the same.
        grid: what is known of the electricity.

    Raises:
        ConfigError: a label that cannot be a folder's name.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path | str, label: str, argv: Sequence[str], grid: Grid) -> None:
        if not _LABEL.fullmatch(label):
            raise ConfigError(f"label {label!r}: letters, digits and _ . + - only, beginning with a letter or digit")
        self.label, self._argv, self._grid = label, tuple(argv), grid
        self.own: dict[str, OwnMetric] = {}
        self.last: dict[str, float] = {}
        self._steps = 0
        try:
            self.number, self.path = _new_folder(Path(folder), label, argv)
            self._manifest(Path(folder).resolve().name).write(self.path / MANIFEST)
            self._events, self._metrics = Journal(self.path / EVENTS), Journal(self.path / METRICS_FILE)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
        self._events.write(event="session", session=1)

    @property
    def journal(self) -> Path:
        """Where the sampler keeps the raw readings."""
        return self.path / POWER

    def _manifest(self, suite: str) -> Manifest:
        factor = self._grid.forecast()
        return Manifest(
            schema_version=SCHEMA_VERSION,
            suite=suite,
            label=self.label,
            card=self.label,
            family=OWN_CODE,
            seed=self.number,
            folder=self.path.name,
            argv=self._argv,
            git=git_state(Path.cwd()),
            packages=package_versions(),
            host=describe_host(),
            carbon=CarbonPlan(now=self._grid.at(), factor=factor) if factor else None,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )

    def log(self, figures: Mapping[str, float], step: int | None = None, **costs: float | None) -> None:
        """Write one line of the user's own figures; the last of each name is the run's.

        Raises:
            ConfigError: a name of the registry, or a value that is no number.
        """
        for name, value in figures.items():
            if name not in self.own:
                self.own[name] = declared(name, "none")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"metric {name} = {value!r}: a number is needed")
            if math.isfinite(value):
                self.last[name] = float(value)
        self._steps = self._steps + 1 if step is None else step
        self._metrics.write(step=self._steps, **figures, **{k: v for k, v in costs.items() if v is not None})

    def event(self, edge: str, phase: str) -> None:
        """Write the begin or the end of a phase."""
        self._events.write(event=edge, phase=phase)

    def finish(self, ended: Ended, ready: Mapping[str, object]) -> None:
        """Write the result, last; ``ready`` is what the sampler said of its sensors."""
        self._events.write(event="exit", code=0 if ended.error is None else 1)
        self._events.close()
        self._metrics.close()
        write_json(self.path / SENSORS, sensors_of(ready))
        windows = [] if ended.window is None else [ended.window]
        energy = energy_record(windows)
        result = Result(
            schema_version=SCHEMA_VERSION,
            status="ok" if ended.error is None else "failed",
            error=ended.error,
            valid=bool(energy.valid),
            phases=tuple(
                phase_energy(span.name, 1, span.begin_ns, span.end_ns, span.energy, origin_ns=ended.begin_ns)
                for span in ended.spans
            ),
            energy=EnergySummary(total=energy, budgeted=energy),
            carbon=CarbonRecord(ended.account.factor, tuple(ended.account.devices), ended.account.figures),
            warnings=tuple(dict.fromkeys([*ended.warnings, *energy.problems])),
            own_metrics=self.own,
        )
        row = {k: v for k, v in self._row(result, ended).items() if v is not None}
        write_json(self.path / RESULT, replace(result, row=row))

    def _row(self, result: Result, ended: Ended) -> dict[str, Any]:
        energy, wall_s = result.energy.total, (ended.end_ns - ended.begin_ns) / 1e9
        return {
            "schema_version": SCHEMA_VERSION,
            "suite": self.path.parent.name,
            "model": self.label,
            "family": OWN_CODE,
            "seed": self.number,
            "status": result.status,
            "valid": result.valid,
            "wall_s": wall_s,
            "energy_total_j": energy.energy_j,
            "energy_source": energy.kind,
            "energy_uncertainty_j": energy.uncertainty_j,
            "mean_power_w": energy.energy_j / wall_s if energy.energy_j is not None and wall_s > 0 else None,
            "peak_memory_bytes": ended.peak_memory_bytes,
            "run_dir": self.path.name,
            **ended.account.figures,
            **self.last,
        }


def _new_folder(folder: Path, label: str, argv: Sequence[str]) -> tuple[int, Path]:
    """Take the next number of a label; two processes that begin at once take two."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256("\0".join(argv).encode()).hexdigest()[:8]
    while True:
        found = [read_name(path.name) for path in folder.iterdir()]
        number = max((known.seed for known in found if known and known.label == label), default=-1) + 1
        path = folder / folder_name(label, number, digest)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return number, path
