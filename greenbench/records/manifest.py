"""``manifest.json``: what a trial was asked to do, on which machine, with which code and data. Written first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.carbon import Factor
from greenbench.cards import ModelSpec
from greenbench.config import Suite, TrainSection
from greenbench.records.files import write_json
from greenbench.schema import as_table


@dataclass(frozen=True)
class Host:
    """The machine. ``cores`` are those that the trial may use, ``boot_id`` tells one boot's clock from another's."""

    hostname: str = ""
    cpu: str = ""
    cores: int | None = None
    memory_bytes: int | None = None
    os: str = ""
    python: str = ""
    boot_id: str | None = None


@dataclass(frozen=True)
class GitState:
    """The checkout that greenbench ran from; None outside one."""

    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True)
class SplitSummary:
    """How much audio a split holds."""

    utterances: int = 0
    hours: float = 0.0
    speakers: int = 0


@dataclass(frozen=True)
class Lengths:
    """Lengths of the utterances in seconds; ``histogram`` counts them by ranges of seconds (``"2-4"``)."""

    min: float = 0.0
    median: float = 0.0
    max: float = 0.0
    histogram: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A file of the data that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DataSummary:
    """The corpus of a trial: ``spec`` names it as the suite does, ``fingerprint`` is a hash of its content.

    ``labels`` counts the utterances that have each kind of label. ``extra`` is what a reader of this kind of corpus
    says beside that (the file it was read from, for example).
    """

    name: str = ""
    data: str = ""
    spec: str = ""
    fingerprint: str = ""
    files: int | None = None
    utterances: int | None = None
    hours: float | None = None
    splits: Mapping[str, SplitSummary] = field(default_factory=dict)
    speakers: int | None = None
    languages: Mapping[str, int] = field(default_factory=dict)
    sample_rates: Mapping[str, int] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    resampled_hours: float | None = None
    lengths_s: Lengths = Lengths()
    labels: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CarbonPlan:
    """The grid as it was known when the trial began.

    ``factor`` counts for all of the run, or steps in where the hours of ``hourly_csv`` do not reach; ``now`` is the
    factor of the hour in which the trial began. ``g_per_joule`` is what a budget in grams begins with: IT energy at
    the intensity of that hour, without PUE.
    """

    now: Factor | None = None
    factor: Factor | None = None
    pue: float = 1.0
    g_per_joule: float | None = None
    warnings: tuple[str, ...] = ()
    hourly_csv: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A trial before it has run.

    ``control`` is empty for a contestant. ``config`` is the resolved suite; ``train`` is its [train] with this arm's
    own keys laid over it. ``carbon`` is None where the suite states neither a region nor an intensity.
    """

    schema_version: int = 0
    suite: str = ""
    label: str = ""
    card: str = ""
    family: str = ""
    size: str = ""
    seed: int = 0
    control: str = ""
    folder: str = ""
    argv: tuple[str, ...] = ()
    config: Suite | None = None
    spec: ModelSpec | None = None
    train: TrainSection | None = None
    config_hash: str = ""
    git: GitState = GitState()
    packages: Mapping[str, str] = field(default_factory=dict)
    host: Host = Host()
    data: DataSummary = DataSummary()
    evaluate_data: DataSummary | None = None
    carbon: CarbonPlan | None = None
    created: str = ""

    def write(self, path: Path) -> None:
        """Write the file; suite and [train] as their TOML says them, so that what is not set is not there.

        Raises:
            OutputError: it cannot be written.
        """
        tables = {"config": as_table(self.config), "train": as_table(self.train)}
        write_json(path, {**vars(self), **tables})
