"""Suites: a TOML file of a few lines, checked and completed into frozen dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from greenbench.errors import ConfigError, did_you_mean
from greenbench.resources import share
from greenbench.schema import as_table, build, format_toml, parse_value, read_toml

CURRENCIES = ("seconds", "joules", "flops", "audio_hours", "steps", "grams_co2e")


@dataclass(frozen=True)
class SuiteSection:
    """What is compared: models (``card`` or ``label=card``), size, seeds and data."""

    name: str = "suite"
    models: tuple[str, ...] = ("eco", "melhubert", "hubert")
    controls: tuple[str, ...] = ("logmel", "random")
    baseline: str = ""
    size: str = "tiny"
    seeds: tuple[int, ...] = (0,)
    data: str = "mini"

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models is empty; name at least one card")
        if not self.seeds:
            raise ValueError("seeds is empty; give at least one, for example seeds = [0]")
        labels = [entry.partition("=")[0] for entry in self.models]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"models names {label!r} twice; give one of them a label: 'other={label}'")


@dataclass(frozen=True)
class BudgetSection:
    """The one currency that every trial is given the same amount of."""

    seconds: float | None = None
    joules: float | None = None
    flops: float | None = None
    audio_hours: float | None = None
    steps: float | None = None
    grams_co2e: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in CURRENCIES if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"exactly one of {', '.join(CURRENCIES)} is needed, found {found}")
        if not (self.limit > 0 and math.isfinite(self.limit)):
            raise ValueError(f"{self.kind} = {self.limit:g} must be a finite number above 0")

    @property
    def kind(self) -> str:
        """Return the currency's name."""
        return next(name for name in CURRENCIES if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """Return the amount, in the currency's unit."""
        return float(getattr(self, self.kind))


GENERATED = "generated"
"""In place of a folder: noise and rooms that are drawn, not recorded."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to how many crops. ``noise`` and ``reverb`` are a folder of audio, or ``generated``.

    ``snr_db`` is the range of the ratio of the crop's to the noise's mean power; ``speeds`` are factors, 1.1 is faster
    and higher; ``t60_s`` is the range of the generated rooms' reverberation time. Probabilities of 0 switch off.
    """

    noise_probability: float = 0.0
    noise: str = GENERATED
    snr_db: tuple[float, ...] = (5.0, 20.0)
    speed_probability: float = 0.0
    speeds: tuple[float, ...] = (0.9, 1.1)
    reverb_probability: float = 0.0
    reverb: str = GENERATED
    t60_s: tuple[float, ...] = (0.1, 0.6)

    def __post_init__(self) -> None:
        for name in ("noise_probability", "speed_probability", "reverb_probability"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} = {getattr(self, name)} must lie between 0 and 1")
        if not self.speeds or not all(0.5 <= speed <= 2.0 for speed in self.speeds):
            raise ValueError(f"speeds = {self.speeds} must lie between 0.5 and 2")
        for name in ("snr_db", "t60_s"):
            found = getattr(self, name)
            if len(found) != 2 or found[0] > found[1]:
                raise ValueError(f"{name} = {list(found)} must be a range [low, high]")
        if self.t60_s[0] <= 0:
            raise ValueError(f"t60_s = {list(self.t60_s)} must be above 0")

    @property
    def is_active(self) -> bool:
        """Return whether anything is changed at all."""
        return max(self.noise_probability, self.speed_probability, self.reverb_probability) > 0


@dataclass(frozen=True)
class TrainSection:
    """How every model is trained; what a model's own recipe decides is in its card.

    An arm may differ: ``[models.LABEL.train]`` holds the keys that are its own. ``layer_drop`` is the probability that
    a step skips an encoder layer, ``ema_decay`` above 0 evaluates the exponential moving average of the weights.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int = 0
    batch_seconds: float = 32.0
    crop_seconds: float = 8.0
    grad_accumulation: int = 1
    activation_checkpointing: bool = False
    sdpa: Literal["auto", "math", "efficient", "flash"] = "auto"
    compile: bool = False
    fused_optimizer: bool = True
    ema_decay: float = 0.0
    layer_drop: float = 0.0
    features: Literal["stored", "on-the-fly"] = "stored"
    augment: Augmentation = Augmentation()
    checkpoint_seconds: float = 60.0
    log_seconds: float = 0.5

    def __post_init__(self) -> None:
        for key in ("batch_seconds", "crop_seconds", "checkpoint_seconds", "grad_accumulation"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} = {getattr(self, key)} must be above 0")
        for key in ("ema_decay", "layer_drop"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} = {getattr(self, key):g} must lie in 0 (off) to below 1")


@dataclass(frozen=True)
class EvaluateSection:
    """Which downstream tasks measure the representation, and how it is transferred to them.

    ``tasks`` are scored on the frozen model with ``heads``. Where ``transfer`` names more than ``frozen``, every
    strategy in it adapts the model to each of ``transfer_tasks`` under ``transfer_budget``. ``data`` names the corpus
    whose labels are used; empty, it is the one that was pretrained on. ``ctc_beam`` prefixes are kept when texts are
    decoded; 1 is greedy. ``shuffled`` repeats the classification tasks with shuffled training labels, which must end
    at chance.
    """

    data: str = ""
    tasks: tuple[str, ...] = ("phones",)
    heads: tuple[str, ...] = ("linear",)
    ctc_beam: int = 1
    shuffled: bool = False
    transfer: tuple[str, ...] = ("frozen",)
    transfer_tasks: tuple[str, ...] = ("phones", "keywords")
    transfer_budget: BudgetSection = BudgetSection(seconds=30.0)
    max_train_seconds: float = 1200.0
    max_test_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.ctc_beam < 1:
            raise ValueError(f"ctc_beam = {self.ctc_beam} must be 1 (greedy) or more")


COUNTED_UNITS = ("trial", "audio_hour")
"""SCI units that a trial counts itself; any other needs ``sci_units``."""


@dataclass(frozen=True)
class CarbonSection:
    """Where the electricity and the hardware come from; what is not stated has no figure.

    The grid's intensity, the first of these that is stated: ``intensity_g_per_kwh``; ``hourly_csv``, by the hours of
    the run; ``live_zone`` of Electricity Maps, when the trial begins; ``region`` from the offline tables, which also
    steps in for hours or an answer that cannot be had.
    ``embodied`` is a device of ``greenbench.carbon.DEVICES``, or ``auto`` for the GPUs that train; or state
    ``embodied_kg`` (kgCO2e of one device) and ``embodied_years`` (its service life). ``embodied_count`` devices are in
    use; 0.125 is one of a server's eight users. ``sci_unit`` names R of SCI = (E x I + M) / R, ``sci_units`` says how
    many of them there are.
    """

    region: str | None = None
    intensity_g_per_kwh: float | None = None
    hourly_csv: str | None = None
    live_zone: str | None = None
    pue: float = 1.0
    embodied: Literal["auto", "gpu", "server", "rack-server"] | None = None
    embodied_kg: float | None = None
    embodied_years: float | None = None
    embodied_count: float | None = None
    sci_unit: str | None = None
    sci_units: float | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.pue < math.inf:
            raise ValueError(f"pue = {self.pue} must be 1.0 or more (total facility energy / IT energy)")
        for key in ("intensity_g_per_kwh", "embodied_kg"):
            value = getattr(self, key)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{key} = {value} must not be negative")
        for key in ("embodied_years", "embodied_count", "sci_units"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{key} = {value} must be a number above 0")
        self._check_embodied()
        self._check_sci()

    @property
    def has_embodied(self) -> bool:
        """Return whether the hardware's own carbon is stated."""
        return self.embodied is not None or self.embodied_kg is not None

    def _check_embodied(self) -> None:
        if self.embodied is not None and self.embodied_kg is not None:
            raise ValueError(f"embodied = {self.embodied!r} and embodied_kg = {self.embodied_kg:g}: state one of them")
        if self.embodied_kg is not None and self.embodied_years is None:
            raise ValueError(f"embodied_kg = {self.embodied_kg:g} needs embodied_years, the device's service life")
        if self.embodied == "auto" and self.embodied_count is not None:
            raise ValueError(
                f"embodied_count = {self.embodied_count:g}: embodied = 'auto' counts the GPUs itself; name the device"
            )
        if not self.has_embodied and (self.embodied_years or self.embodied_count):
            raise ValueError("embodied_years and embodied_count need embodied (a device) or embodied_kg")

    def _check_sci(self) -> None:
        if self.sci_unit is None:
            if self.sci_units is not None:
                raise ValueError(f"sci_units = {self.sci_units:g} needs sci_unit, the name of what is counted")
            return
        if not self.sci_unit.strip():
            raise ValueError(f"sci_unit is empty; allowed: {', '.join(COUNTED_UNITS)}, or your own name with sci_units")
        if not self.has_embodied:
            raise ValueError(
                f"sci_unit = {self.sci_unit!r} needs the hardware's share: set embodied or embodied_kg (0 for none)"
            )
        if self.sci_unit not in COUNTED_UNITS and self.sci_units is None:
            raise ValueError(
                f"sci_unit = {self.sci_unit!r} needs sci_units, how many of them a trial makes; "
                f"counted without it: {', '.join(COUNTED_UNITS)}"
            )


@dataclass(frozen=True)
class PowerSection:
    """What the sampler reads and how often.

    ``devices`` are the GPUs: ``auto`` is the one a trial trains on, ``none``, or a list (``cuda:0,GPU-<uuid>``).
    """

    sources: str = "auto"
    devices: str = "auto"
    hz: float = 20.0
    tdp_w: float | None = None

    def __post_init__(self) -> None:
        if not 0.1 <= self.hz <= 1000:
            raise ValueError(f"hz = {self.hz:g} must lie between 0.1 and 1000")


@dataclass(frozen=True)
class ProtocolSection:
    """What happens around a trial: idle baseline, waiting for a quiet machine, cooling down."""

    idle_seconds: float = 2.0
    quiet_load: float = 0.25
    quiet_wait_seconds: float = 20.0
    cooldown_seconds: float = 0.0


@dataclass(frozen=True)
class Suite:
    """A complete, checked suite. ``models`` maps a label to options that override its card.

    The option ``train`` of a label is a table of its own: what this arm's [train] has other than the suite's.
    """

    suite: SuiteSection
    budget: BudgetSection
    train: TrainSection = field(default_factory=TrainSection)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    carbon: CarbonSection = field(default_factory=CarbonSection)
    power: PowerSection = field(default_factory=PowerSection)
    protocol: ProtocolSection = field(default_factory=ProtocolSection)
    models: dict[str, Any] = field(default_factory=dict)

    def options_of(self, label: str) -> dict[str, Any]:
        """Return what overrides the card of one entry of ``suite.models``."""
        return {key: value for key, value in self.models.get(label, {}).items() if key != "train"}

    def train_of(self, label: str) -> TrainSection:
        """Return how one entry of ``suite.models`` is trained: [train] with [models.LABEL.train] laid over it."""
        own = self.models.get(label, {}).get("train")
        return _own_train(as_table(self.train), own, f"[models.{label}.train]") if own else self.train

    def to_toml(self) -> str:
        """Return the TOML text that loads to this very suite."""
        return format_toml(as_table(self))

    def replace(self, section: str, **changes: Any) -> Suite:
        """Return a copy with keys of one section changed."""
        return dataclasses.replace(self, **{section: dataclasses.replace(getattr(self, section), **changes)})


def suite_folder() -> Path:
    """Return the folder of the built-in suites."""
    return share("models") / "suites"


def builtin_suites() -> dict[str, Path]:
    """Return the built-in suites by name."""
    return {path.stem: path for path in sorted(suite_folder().glob("*.toml"))}


def load_suite(name_or_path: str, overrides: Sequence[str] = ()) -> Suite:
    """Load a built-in suite or a TOML file and apply ``section.key=value`` overrides.

    Raises :class:`ConfigError` with one line that names file, key, what was found and what is allowed.
    """
    known = builtin_suites()
    path = known.get(name_or_path)
    if path is None:
        path = Path(name_or_path)
        if path.suffix != ".toml" and not path.exists():
            raise ConfigError(
                f"suite {name_or_path!r} is neither built in nor a TOML file{did_you_mean(name_or_path, known)}"
            )
    table = read_toml(path)
    for text in overrides:
        _apply_override(table, text)
    return suite_from_table(table, str(path) if name_or_path not in known else name_or_path)


def model_options(entry: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the options that ``models.<label>.key=value`` overrides give to one entry (``card``, an own class).

    Raises :class:`ConfigError` for an override of anything else.
    """
    label = entry.rpartition(":")[2].partition("=")[0]
    table: dict[str, Any] = {}
    for text in overrides:
        if not text.startswith(f"models.{label}."):
            raise ConfigError(f"-o {text}: expected models.{label}.key=value")
        _apply_override(table, text)
    return dict(table.get("models", {}).get(label, {}))


def suite_from_table(table: Mapping[str, Any], where: str) -> Suite:
    """Check and complete a suite given as plain tables."""
    sections = {f.name: f for f in dataclasses.fields(Suite)}
    for key in table:
        if key not in sections:
            raise ConfigError(f"{where}: unknown section [{key}]{did_you_mean(key, sections)}")
    kinds: dict[str, type[Any]] = {
        "suite": SuiteSection, "budget": BudgetSection, "train": TrainSection, "evaluate": EvaluateSection,
        "carbon": CarbonSection, "power": PowerSection, "protocol": ProtocolSection,
    }  # fmt: skip
    parts = {name: build(kind, table.get(name, {}), f"{where} [{name}]") for name, kind in kinds.items()}
    options = table.get("models", {})
    labels = [entry.partition("=")[0] for entry in parts["suite"].models]
    for label, value in options.items():
        if label not in labels:
            raise ConfigError(f"{where}: [models.{label}] fits no model of the suite{did_you_mean(label, labels)}")
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: [models.{label}] must be a table, found {value!r}")
        if "train" in value:
            _own_train(table.get("train", {}), value["train"], f"{where} [models.{label}.train]")
    baseline = parts["suite"].baseline
    if baseline and baseline not in labels:
        raise ConfigError(
            f"{where} [suite] baseline: {baseline!r} is no model of the suite{did_you_mean(baseline, labels)}"
        )
    return Suite(**parts, models={k: dict(v) for k, v in options.items()})


def _own_train(shared: Mapping[str, Any], own: Any, where: str) -> TrainSection:
    if not isinstance(own, Mapping):
        raise ConfigError(f"{where}: expected a table, found {own!r}")
    return build(TrainSection, {**shared, **own}, where)


def digest(value: Any, length: int = 8) -> str:
    """Return a short, stable hash of plain data: the same configuration gives the same text on every machine."""
    text = json.dumps(as_table(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _apply_override(table: dict[str, Any], text: str) -> None:
    path, separator, raw = text.partition("=")
    keys = path.strip().split(".")
    if not separator or len(keys) < 2 or not all(keys):
        raise ConfigError(f"-o {text}: expected section.key=value, for example -o budget.seconds=60")
    target = table
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise ConfigError(f"-o {text}: {key!r} is a value, not a section")
    # A budget holds exactly one currency: naming one on the command line replaces the file's.
    if keys[0] == "budget" and keys[-1] in CURRENCIES:
        for currency in CURRENCIES:
            target.pop(currency, None)
    target[keys[-1]] = parse_value(raw.strip())
