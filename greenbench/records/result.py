"""``result.json``: what a trial reached and what it took. Written last; everything in it can be computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from greenbench.carbon import EmbodiedUse, Factor


@dataclass(frozen=True)
class RanOn:
    """What the trainer really computed on. ``gpu`` is torch's name of the card, empty on a CPU."""

    device: str = ""
    dtype: str = ""
    threads: int | None = None
    gpu: str = ""
    gpu_uuid: str | None = None


@dataclass(frozen=True)
class PhaseEnergy:
    """One interval of a phase with its joules.

    ``begin_s`` counts from the trial's first event, ``begin_ns`` and ``end_ns`` are the host's monotonic clock.
    ``complete`` is False where a crash cut the phase off; ``budgeted`` says whether the budget paid for it.
    """

    phase: str
    session: int = 0
    complete: bool = True
    budgeted: bool = False
    begin_s: float = 0.0
    duration_s: float = 0.0
    begin_ns: int | None = None
    end_ns: int | None = None
    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    kind: str | None = None
    mean_power_w: float | None = None
    valid: bool | None = None


@dataclass(frozen=True)
class DeviceRecord:
    """The joules of one device in one window, with what speaks for and against them.

    ``counter_j`` is its energy counter's figure and ``integral_j`` the integrated power's; ``ratio`` is the first by
    the second. ``counted`` is False for a device whose joules are contained in another's. ``invalid`` are the reasons
    why the figure must not be used.
    """

    name: str
    kind: str = ""
    source: str = ""
    part: str = ""
    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    counter_j: float | None = None
    integral_j: float | None = None
    ratio: float | None = None
    agree: bool | None = None
    uncertainty_j: float | None = None
    edge_j: float = 0.0
    samples: int = 0
    warnings: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    mean_power_w: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    counted: bool = True
    shared: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyRecord:
    """A sum of windows: joules with their range, how they came about, and why they may not be used."""

    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    uncertainty_j: float | None = None
    source: str | None = None
    kind: str | None = None
    valid: bool | None = None
    problems: tuple[str, ...] = ()
    devices: tuple[DeviceRecord, ...] = ()
    duration_s: float = 0.0


@dataclass(frozen=True)
class Charge:
    """What the budget was charged without being spent in this trial: the cost of features found on the disk."""

    origin: str
    duration_s: float = 0.0
    energy_j: float | None = None


@dataclass(frozen=True)
class EnergySummary:
    """The trial's joules: all of them, the budgeted part, what crashes wasted, and the idle baselines beside it."""

    total: EnergyRecord = EnergyRecord()
    budgeted: EnergyRecord = EnergyRecord()
    wasted: EnergyRecord = EnergyRecord()
    idle: EnergyRecord = EnergyRecord()
    idle_s: float = 0.0
    charged: tuple[Charge, ...] = ()
    idle_context: EnergyRecord = EnergyRecord()
    idle_context_s: float = 0.0


@dataclass(frozen=True)
class CarbonRecord:
    """Emissions: the factor that they were counted with and the figures by the names of their columns."""

    factor: Factor | None = None
    embodied: tuple[EmbodiedUse, ...] = ()
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CarbonHours:
    """``carbon.json``: the rows of an hourly CSV that a trial's emissions were counted with.

    Each is the start of its hour (seconds since 1970, UTC) and g/kWh; kept so that the figures can be computed again.
    """

    hours: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class BudgetSpent:
    """The budget's currency, what was given and what was spent in every currency; None is unknown."""

    kind: str
    limit: float
    spent: Mapping[str, float | None] = field(default_factory=dict)
    overshoot_pct: float | None = None


@dataclass(frozen=True)
class TransferScore:
    """What one strategy of adaptation reached on one task and what it cost; absent figures are None."""

    task: str = ""
    strategy: str = ""
    metric: str = ""
    error_pct: float | None = None
    duration_s: float | None = None
    energy_j: float | None = None
    flops: float | None = None
    steps: int | None = None
    audio_h: float | None = None
    peak_memory_bytes: int | None = None
    step_memory_bytes: int | None = None
    cache_bytes: int | None = None
    memory_factor: float | None = None
    trained_params: int | None = None
    trained_pct: float | None = None
    head_params: int | None = None
    total_params: int | None = None
    budget_kind: str = ""
    budget_limit: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ShuffledScore:
    """A task scored after training on shuffled labels; ``low_pct`` to ``high_pct`` is where chance lies."""

    error_pct: float
    guess_error_pct: float
    majority_error_pct: float
    low_pct: float
    high_pct: float
    answers: int
    at_chance: bool


@dataclass(frozen=True)
class CodeRecord:
    """The model's source: its class and a hash of the file that defines it."""

    code: str = ""
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class CostRecord:
    """What the model was counted to cost; see :class:`greenbench.cost.Cost` for the meaning of each figure."""

    params: int | None = None
    encoder_params: int | None = None
    seconds: float | None = None
    batch: int | None = None
    macs_per_audio_s: float | None = None
    flops_forward_per_audio_s: float | None = None
    flops_train_per_audio_s: float | None = None
    flops_features_per_audio_s: float | None = None
    peak_train_memory_bytes: int | None = None
    method: str = ""
    uncounted_ops: Mapping[str, int] = field(default_factory=dict)
    uncounted_elements_per_audio_s: float | None = None
    analytic_flops_forward_per_audio_s: float | None = None
    fvcore_flops_forward_per_audio_s: float | None = None
    fvcore_uncounted_ops: Mapping[str, int] = field(default_factory=dict)
    by_module: Mapping[str, float] = field(default_factory=dict)
    train_state_bytes: int | None = None


OWN_CODE = "own code"
"""The family of a record that a metered program of the user's own left; it has no suite."""

Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class OwnMetric:
    """What a program of the user's own logged: which direction is better, and its unit."""

    direction: Direction = "none"
    unit: str = ""


@dataclass(frozen=True)
class Result:
    """A trial that has ended.

    ``tasks`` are the details of each downstream task by its name; ``row`` is the trial's row of ``results.csv``:
    identity columns and metrics of the registry, absent ones missing. ``own_metrics`` declares
    those of its figures that a program of the user's own logged.
    """

    schema_version: int = 0
    status: str = "ok"
    error: str | None = None
    valid: bool = True
    resumed: int = 0
    ran_on: RanOn = RanOn()
    phases: tuple[PhaseEnergy, ...] = ()
    energy: EnergySummary = EnergySummary()
    carbon: CarbonRecord | None = None
    tasks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    transfer: tuple[TransferScore, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    budget: BudgetSpent | None = None
    cost: CostRecord | None = None
    model_facts: Mapping[str, object] = field(default_factory=dict)
    code: CodeRecord | None = None
    warnings: tuple[str, ...] = ()
    row: Mapping[str, object] = field(default_factory=dict)
    own_metrics: Mapping[str, OwnMetric] = field(default_factory=dict)
