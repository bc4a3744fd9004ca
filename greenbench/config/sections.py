"""The sections of a suite: what each may hold, with its defaults; values that cannot be meant are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

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
        for seed in self.seeds:
            if seed < 0:
                raise ValueError(f"seeds holds {seed}; a seed is 0 or above")
            if self.seeds.count(seed) > 1:
                raise ValueError(f"seeds names {seed} twice; a seed trained twice is not a second run")
        for label in self.labels:
            if self.labels.count(label) > 1:
                raise ValueError(f"models names {label!r} twice; give one of them a label: 'other={label}'")

    @property
    def labels(self) -> list[str]:
        """The label of each entry of ``models``."""
        return [entry.partition("=")[0] for entry in self.models]


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
        if self.kind == "steps" and self.limit != int(self.limit):
            raise ValueError(f"steps = {self.limit:g} must be a whole number; there is no part of a step")

    @property
    def kind(self) -> str:
        """The currency's name."""
        return next(name for name in CURRENCIES if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The amount, in the currency's unit."""
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
        """Whether anything is changed at all."""
        return max(self.noise_probability, self.speed_probability, self.reverb_probability) > 0


MOST_LENGTHS = 8
"""torch compiles a function for so many shapes and then gives up."""

SHORTEST_CROP_S = 0.1
"""Nothing can be learnt from less: a few frames."""


@dataclass(frozen=True)
class TrainSection:
    """How every model is trained; what a model's own recipe decides is in its card.

    ``crop_lengths`` above 0 lets crops have so many lengths only, equal steps up to ``crop_seconds``: with 4 a compiler
    makes four graphs at most. Shorter utterances than the least are then left out.

    ``resident`` is where stored features lie while a model trains: ``whole`` in the device's memory, in ``windows`` of
    the plan that are brought there ahead, or ``off``: on the host. ``auto`` is ``whole`` on a GPU where they fit in
    70 % of its free memory, ``windows`` where not, and ``off`` on a CPU. The batches are the same.

    An arm may differ: ``[models.LABEL.train]`` holds the keys that are its own. ``layer_drop`` is the probability that
    a step skips an encoder layer, ``ema_decay`` above 0 evaluates the exponential moving average of the weights.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int = 0
    batch_seconds: float = 32.0
    crop_seconds: float = 8.0
    crop_lengths: int = 0
    grad_accumulation: int = 1
    activation_checkpointing: bool = False
    sdpa: Literal["auto", "math", "efficient", "flash"] = "auto"
    compile: bool = False
    fused_optimizer: bool = True
    ema_decay: float = 0.0
    layer_drop: float = 0.0
    features: Literal["stored", "on-the-fly"] = "stored"
    resident: Literal["auto", "whole", "windows", "off"] = "auto"
    augment: Augmentation = Augmentation()
    checkpoint_seconds: float = 60.0
    log_seconds: float = 0.5

    def __post_init__(self) -> None:
        for key in ("batch_seconds", "crop_seconds", "checkpoint_seconds", "grad_accumulation"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} = {getattr(self, key)} must be above 0")
        if self.threads < 0:
            raise ValueError(f"threads = {self.threads} must be 0 (all cores) or above")
        if not 0 <= self.crop_lengths <= MOST_LENGTHS:
            raise ValueError(f"crop_lengths = {self.crop_lengths} must be 0 (any length) or up to {MOST_LENGTHS}")
        if self.crop_lengths and self.crop_seconds / self.crop_lengths < SHORTEST_CROP_S:
            raise ValueError(
                f"crop_lengths = {self.crop_lengths} makes crops below {SHORTEST_CROP_S:g} s of crop_seconds = "
                f"{self.crop_seconds:g}; lower it"
            )
        if not self.log_seconds >= 0:
            raise ValueError(f"log_seconds = {self.log_seconds:g} must be 0 (every step) or above")
        for key in ("batch_seconds", "crop_seconds"):
            if getattr(self, key) < SHORTEST_CROP_S:
                raise ValueError(f"{key} = {getattr(self, key):g} is below the shortest crop, {SHORTEST_CROP_S:g} s")
        for key in ("ema_decay", "layer_drop"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} = {getattr(self, key):g} must lie in 0 (off) to below 1")


@dataclass(frozen=True)
class EvaluateSection:
    """Which downstream tasks measure the representation, and how it is transferred to them.

    ``tasks`` are scored on the frozen model with ``heads``. Where ``transfer`` names more than ``frozen``, every
    strategy in it adapts the model to each of ``transfer_tasks`` under ``transfer_budget``. ``data`` names the corpus
    whose labels are used; empty, it is the one that was pretrained on. ``split`` is what is scored: ``test``, or
    ``valid`` while a recipe is chosen. ``labels`` names one of the corpus' limited sets of labelled sentences, such as
    ``10min``; ``all`` takes every one; empty, ``max_train_seconds`` of them are taken. ``ctc_beam`` prefixes are kept
    when texts are decoded; 1 is greedy. ``shuffled`` repeats the classification tasks with shuffled training labels,
    which must end at chance.
    """

    data: str = ""
    split: Literal["test", "valid"] = "test"
    labels: str = ""
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
        for key in ("max_train_seconds", "max_test_seconds"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} = {getattr(self, key):g} must be above 0")


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
    many of them there are. ``price_per_kwh`` is what a kilowatt-hour costs, in whatever currency you reckon in.
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
    price_per_kwh: float | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.pue < math.inf:
            raise ValueError(f"pue = {self.pue} must be 1.0 or more (total facility energy / IT energy)")
        for key in ("intensity_g_per_kwh", "embodied_kg", "price_per_kwh"):
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
        """Whether the hardware's own carbon is stated."""
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
        if self.tdp_w is not None and not self.tdp_w > 0:
            raise ValueError(f"tdp_w = {self.tdp_w:g} must be a number of watts above 0")


@dataclass(frozen=True)
class ProtocolSection:
    """What happens around a trial: idle baseline, waiting for a quiet machine, cooling down."""

    idle_seconds: float = 2.0
    quiet_load: float = 0.25
    quiet_wait_seconds: float = 20.0
    cooldown_seconds: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= 0:
                raise ValueError(f"{field.name} = {getattr(self, field.name):g} must be 0 or above")
