"""A trial's folder as it lies on disk, and the questions that every reader asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from greenbench.carbon import Factor
from greenbench.cards import ModelSpec
from greenbench.config import Suite
from greenbench.errors import ConfigError, DamagedTrialError, DataError
from greenbench.metrics import declare_own
from greenbench.records.curve import CurvePoint, learning_curve
from greenbench.records.events import Event, PhaseSpan, phase_spans, read_events
from greenbench.records.files import (
    CARBON,
    EVENTS,
    MANIFEST,
    METRICS,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    SENSORS,
    number,
    read_json,
)
from greenbench.records.journal import read_jsonl
from greenbench.records.manifest import CarbonPlan, DataSummary, GitState, Host, Manifest
from greenbench.records.result import (
    OWN_CODE,
    CarbonHours,
    CarbonRecord,
    EnergySummary,
    PhaseEnergy,
    RanOn,
    Result,
    ShuffledScore,
    TransferScore,
)
from greenbench.records.sensors import Gpu, Sensors
from greenbench.records.versions import later_facts, present_manifest, present_result
from greenbench.schema import build

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial's folder. Small files are read when it is loaded, journals when they are first asked for."""

    path: Path
    manifest: Manifest = field(repr=False)
    result: Result | None = field(repr=False, default=None)
    sensors: Sensors = field(repr=False, default=Sensors())
    ran_on: RanOn = field(repr=False, default=RanOn())
    hours: tuple[tuple[float, float], ...] = field(repr=False, default=())
    """The rows of an hourly CSV that its emissions were counted with: seconds since 1970 and g/kWh."""
    problem: str = ""
    """Which of its files cannot be read, and why; such a trial is shown, but enters no mean."""

    # -- what it was asked ---------------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """The arm's name in its suite."""
        return self.manifest.label

    @property
    def control(self) -> str:
        """``logmel``, ``random`` or ``random:LABEL``; empty for a contestant."""
        return self.manifest.control

    @property
    def seed(self) -> int:
        """The seed of everything drawn."""
        return self.manifest.seed

    @property
    def size(self) -> str:
        """The model's size; empty without a model."""
        return self.manifest.size

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.manifest.suite

    @property
    def card(self) -> str:
        """The card that the model comes from."""
        return self.manifest.card

    @property
    def family(self) -> str:
        """The card's family, ``control`` for controls."""
        return self.manifest.family

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that made it."""
        return self.manifest.argv

    @property
    def created(self) -> str:
        """When it was planned, in ISO 8601 with the zone."""
        return self.manifest.created

    @property
    def config_hash(self) -> str:
        """The hash of everything that changes its result."""
        return self.manifest.config_hash

    @property
    def config(self) -> Suite | None:
        """The resolved suite; None where the manifest has none."""
        return self.manifest.config

    @property
    def arm_config(self) -> Suite | None:
        """The suite with the [train] that this arm has."""
        if self.config is None or self.manifest.train is None:
            return self.config
        return replace(self.config, train=self.manifest.train)

    @property
    def spec(self) -> ModelSpec | None:
        """The model with all options resolved."""
        return self.manifest.spec

    @property
    def own_code(self) -> bool:
        """Whether it is the record of a user's own program, which no suite describes."""
        return self.manifest.family == OWN_CODE

    @property
    def listed_models(self) -> list[str]:
        """The labels of the suite's models, in its order."""
        return self.config.suite.labels if self.config else []

    @property
    def budget(self) -> tuple[str, float | None]:
        """The currency and the amount that the trial was given; empty and None where nothing says."""
        return (self.config.budget.kind, self.config.budget.limit) if self.config else ("", None)

    @property
    def drawn_from(self) -> str | None:
        """The label of the model whose weights a random control draws; None for everything else."""
        kind, _, label = self.control.partition(":")
        if kind != "random":
            return None
        return label or (self.manifest.spec.label if self.manifest.spec else "")

    @property
    def own_train_keys(self) -> frozenset[str]:
        """The keys of [train] in which this arm differs from its suite."""
        if self.config is None or self.manifest.train is None:
            return frozenset()
        shared, own = vars(self.config.train), vars(self.manifest.train)
        return frozenset(key for key, value in own.items() if shared[key] != value)

    # -- where it ran --------------------------------------------------------------------------------------------------

    @property
    def host(self) -> Host:
        """The machine."""
        return self.manifest.host

    @property
    def git(self) -> GitState:
        """The checkout that greenbench ran from."""
        return self.manifest.git

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of the packages that the result depends on."""
        return self.manifest.packages

    @property
    def data(self) -> DataSummary:
        """The corpus that it was pretrained on."""
        return self.manifest.data

    @property
    def scored_data(self) -> DataSummary:
        """The corpus whose labels score it; mostly the one it was pretrained on."""
        return self.manifest.evaluate_data or self.manifest.data

    @property
    def device(self) -> str:
        """The device that it trained on, as torch names it; empty before it has ended."""
        return self.ran_on.device

    @property
    def dtype(self) -> str:
        """The precision that it trained in; empty before it has ended."""
        return self.ran_on.dtype

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The cards that were metered; where no sensor named one, the card that it trained on."""
        if self.sensors.gpus or not self.ran_on.gpu:
            return self.sensors.gpus
        return (Gpu(self.ran_on.gpu, self.ran_on.gpu_uuid),)

    @property
    def machine(self) -> dict[str, str]:
        """What identifies the hardware: GPUs with power limit and MIG, else the processor."""
        limits = (number(gpu.power_limit_w) for gpu in self.gpus)
        return {
            "cpu": self.host.cpu,
            "cores": str(self.host.cores or ""),
            "gpu": " + ".join(gpu.name or "" for gpu in self.gpus) or self.text("gpu"),
            "gpu uuid": " + ".join(gpu.uuid or "" for gpu in self.gpus),
            "gpu power limit": " + ".join(f"{limit:g} W" for limit in limits if limit is not None),
            "mig": " + ".join(str(gpu.mig) for gpu in self.gpus if gpu.mig),
        }

    # -- what came out -------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether it ended with a result, good or bad."""
        return self.result is not None

    @property
    def status(self) -> str:
        """``ok``, ``failed``, ``incomplete`` (no result yet) or ``damaged`` (files that cannot be read)."""
        return "damaged" if self.problem else self.result.status if self.result else "incomplete"

    @property
    def valid(self) -> bool:
        """Whether nothing marks its figures invalid; a trial without a result is not marked."""
        return self.result.valid if self.result else True

    @property
    def usable(self) -> bool:
        """Whether its figures may enter means and comparisons: finished, not failed, not marked invalid."""
        return self.status == "ok" and self.valid

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.result.error if self.result else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before trusting its figures."""
        return self.result.warnings if self.result else ()

    @property
    def row(self) -> Mapping[str, object]:
        """Its row of ``results.csv``: identity columns and metrics, absent ones missing."""
        return self.result.row if self.result else {}

    def figure(self, name: str) -> float | None:
        """Look up a figure of its row; None where there is none or it is no finite number."""
        return number(self.row.get(name))

    def text(self, name: str) -> str:
        """Look up a text of its row; empty where there is none."""
        value = self.row.get(name)
        return value if isinstance(value, str) else ""

    @property
    def phases(self) -> tuple[PhaseEnergy, ...]:
        """The phases with their joules."""
        return self.result.phases if self.result else ()

    @property
    def energy(self) -> EnergySummary:
        """Its joules: total, budgeted, wasted, idle."""
        return self.result.energy if self.result else EnergySummary()

    @property
    def energy_kind(self) -> str:
        """How its joules came about: ``measured``, ``modelled``, ``mixed``; empty where nothing says."""
        if self.energy.total.kind:
            return self.energy.total.kind
        kinds = {phase.kind for phase in self.phases if phase.kind}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""

    @property
    def carbon_plan(self) -> CarbonPlan | None:
        """The grid as it was known when the trial began; None where the suite states nothing."""
        return self.manifest.carbon

    @property
    def carbon(self) -> CarbonRecord | None:
        """Its emissions; None before it has ended."""
        return self.result.carbon if self.result else None

    @property
    def factor(self) -> Factor | None:
        """The grid's factor that its emissions were counted with, before it has ended the one that is planned with."""
        if self.carbon is not None:
            return self.carbon.factor
        return (self.carbon_plan.factor or self.carbon_plan.now) if self.carbon_plan else None

    @property
    def transfer(self) -> tuple[TransferScore, ...]:
        """The scores of adaptation, one a task and strategy."""
        return self.result.transfer if self.result else ()

    @property
    def shuffled(self) -> dict[str, ShuffledScore]:
        """The scores after training on shuffled labels, by task."""
        tasks = self.task("shuffled").get("tasks")
        listed = tasks.items() if isinstance(tasks, Mapping) else ()
        return {str(name): self._built(ShuffledScore, entry, "tasks shuffled") for name, entry in listed}

    def task(self, name: str) -> Mapping[str, object]:
        """Look up the details of a downstream task; empty where it was not scored."""
        return self.result.tasks.get(name, {}) if self.result else {}

    def by_language(self, task: str, measure: str) -> dict[str, float]:
        """Look up a task's measure (``per``, ``error``) by language, in percent."""
        values = self.task(task).get(f"{measure}_by_language_pct")
        listed = values.items() if isinstance(values, Mapping) else ()
        return {str(language): found for language, value in listed if (found := number(value)) is not None}

    @cached_property
    def learning_curve(self) -> list[CurvePoint]:
        """The journal of training, steps that a crash threw away left out."""
        return learning_curve(read_jsonl(self.path / METRICS))

    @cached_property
    def spans(self) -> list[PhaseSpan]:
        """The phases as the journal of events tells of them."""
        return phase_spans(self.events)

    @cached_property
    def events(self) -> list[Event]:
        """The journal of events."""
        return read_events(self.path / EVENTS)

    def _built(self, kind: type[T], table: Mapping[str, Any], where: str) -> T:
        return _read(kind, table, self.path / RESULT, where)


def load_trial(path: Path, *, result: bool = True) -> Trial:
    """Load one trial folder; without ``result`` as it was before its result was written.

    Raises:
        DataError: the manifest is missing, damaged or of a newer schema; or another file is damaged.
    """
    table = read_json(path / MANIFEST)
    version = table.get("schema_version") or 0
    if not isinstance(version, int):
        raise DataError(f"{path / MANIFEST}: schema_version must be a whole number, found {str(version)[:40]!r}")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path / MANIFEST}: schema_version {version} is newer than {SCHEMA_VERSION}; update greenbench"
        )
    found = present_result(read_json(path / RESULT)) if result and (path / RESULT).exists() else None
    ended = None if found is None else _read(Result, found, path / RESULT)
    for name, own in ended.own_metrics.items() if ended else ():
        declare_own(name, own.direction, own.unit)
    if version < 3:
        ran_on, sensors, carbon = later_facts(table)
    else:
        ran_on, sensors, carbon = (found or {}).get("ran_on") or {}, _optional(path / SENSORS), _optional(path / CARBON)
    return Trial(
        path,
        _read(Manifest, present_manifest(table), path / MANIFEST),
        ended,
        _read(Sensors, sensors, path / SENSORS),
        _read(RanOn, ran_on, path / RESULT),
        _read(CarbonHours, carbon, path / CARBON).hours,
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _read(kind: type[T], table: Mapping[str, Any], path: Path, where: str = "") -> T:
    try:
        return build(kind, table, f"{path} {where}".rstrip(), lenient=True)
    except ConfigError as error:
        raise DamagedTrialError(str(error)) from error


def find_trials(paths: Iterable[Path]) -> list[Trial]:
    """Load all trials below the given run folders (or trial folders), in a stable order, each once.

    Raises:
        DataError: a folder is missing, holds no trial or holds a damaged one.
    """
    return [load_trial(folder) for folder in trial_folders(paths)]


_FILES_OF_A_TRIAL = (MANIFEST, RESULT, EVENTS, METRICS, POWER, OUTCOME)


def trial_folders(paths: Iterable[Path]) -> list[Path]:
    """Find the trial folders at or below the given ones, also those without a manifest: a lost file hides no trial.

    A folder that is given twice, or once by itself and once within its run, is listed once.

    Raises:
        DataError: a folder is missing or holds no trial.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such run folder")
        listed = [path] if _is_trial(path) else sorted(p for p in path.glob("*") if p.is_dir() and _is_trial(p))
        if not listed:
            raise DataError(f"{path}: holds no trial (no */{MANIFEST}); give a folder written by greenbench run")
        for folder in listed:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _is_trial(folder: Path) -> bool:
    return any((folder / name).exists() for name in _FILES_OF_A_TRIAL)
