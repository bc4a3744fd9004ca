"""The registry of metrics: name -> unit, direction, kind, formatter and practical threshold.

Tables, figures, checks, comparisons and exports read this registry; a metric that is not here does not exist.
The order is the order of the columns of ``results.csv``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from greenbench.errors import ConfigError
from greenbench.units import format_bytes, format_duration, format_si

Kind = Literal["measured", "modelled", "counted", "published", "declared"]
Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Metric:
    """One figure a trial can have.

    ``kind`` is how it comes about: ``measured`` (by a counter, sensor, clock or on a test set), ``modelled``,
    ``counted`` (FLOPs, parameters), ``published`` or ``declared`` (set by the user or the plan). Energy columns are
    measured *or* modelled; the trial's ``energy_source`` says which.
    ``threshold`` is the practical one: a smaller difference is never claimed. ``relative`` says whether it is a
    fraction of the baseline or in the metric's own unit.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    kind: Kind
    format: Callable[[float], str]
    threshold: float = 0.0
    relative: bool = True
    quality: bool = False
    description: str = ""
    own: bool = False
    """Whether a user's program logged it, rather than a trial of a suite."""


def _si(unit: str) -> Callable[[float], str]:
    return lambda value: format_si(value, unit)


def _amount(value: float) -> str:
    """Format an amount whose unit depends on the budget: seconds, joules, FLOPs, …"""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:,.4g}"


def _fixed(decimals: int, unit: str = "") -> Callable[[float], str]:
    return lambda value: f"{value:.{decimals}f}{' ' + unit if unit else ''}"


def _energy(name: str, label: str, description: str, direction: Direction = "lower") -> Metric:
    return Metric(name, label, "J", direction, "measured", _si("J"), 0.02, description=description)


def _error(name: str, label: str, description: str) -> Metric:
    return Metric(
        name,
        label,
        "%",
        "lower",
        "measured",
        _fixed(1, "%"),
        1.0,
        relative=False,
        quality=True,
        description=description,
    )


_ALL = (
    Metric("budget_limit", "budget", "", "none", "declared", _amount, description="amount every trial was given"),
    Metric("budget_spent", "spent", "", "none", "measured", _amount, description="amount the trial used"),
    Metric(
        "budget_overshoot_pct",
        "overshoot",
        "%",
        "none",
        "measured",
        _fixed(2, "%"),
        description="spent minus limit, in percent of the limit; negative is unused",
    ),
    Metric("steps", "steps", "", "none", "counted", _fixed(0), description="optimizer updates"),
    Metric(
        "audio_h",
        "audio",
        "h",
        "none",
        "counted",
        _fixed(2, "h"),
        description="hours of audio trained on, repeats included",
    ),
    Metric(
        "params", "parameters", "", "lower", "counted", _si(""), 0.0, description="parameters trained in pretraining"
    ),
    Metric(
        "pretrain_flops",
        "pretraining FLOPs",
        "FLOP",
        "lower",
        "counted",
        _si("FLOP"),
        0.01,
        description="forward and backward of pretraining, targets and teacher included",
    ),
    Metric("flops_forward_per_audio_s", "forward FLOPs / s audio", "FLOP/s", "lower", "counted", _si("FLOP"), 0.01),
    Metric("flops_train_per_audio_s", "training FLOPs / s audio", "FLOP/s", "lower", "counted", _si("FLOP"), 0.01),
    Metric(
        "audio_s_per_s",
        "speed",
        "s/s",
        "higher",
        "measured",
        _fixed(1, "s/s"),
        0.05,
        description="seconds of audio trained on per second, warm-up left out",
    ),
    Metric(
        "peak_memory_bytes",
        "peak memory",
        "B",
        "lower",
        "measured",
        format_bytes,
        0.05,
        description="peak resident memory of the training process, or allocated on the GPU",
    ),
    Metric(
        "pretrain_s",
        "pretraining",
        "s",
        "lower",
        "measured",
        format_duration,
        0.05,
        description="seconds in the pretraining phase, without what a crash threw away",
    ),
    Metric(
        "wall_s",
        "wall time",
        "s",
        "lower",
        "measured",
        format_duration,
        0.05,
        description="seconds from start to result",
    ),
    _energy("energy_budgeted_j", "energy", "features, targets, compilation and pretraining"),
    _energy("energy_total_j", "total energy", "everything the trial used, evaluation and crashes included"),
    _energy(
        "energy_charged_j",
        "energy charged",
        "part of the energy that was used earlier: features reused from the disk, at what computing them took",
        "none",
    ),
    _energy("energy_wasted_j", "energy wasted", "thrown away by crashes between the last checkpoint and the crash"),
    _energy("energy_uncertainty_j", "energy ±", "half-width of the meter's uncertainty", "none"),
    Metric("mean_power_w", "power", "W", "none", "measured", _fixed(1, "W")),
    Metric(
        "idle_power_w",
        "idle power",
        "W",
        "none",
        "measured",
        _fixed(1, "W"),
        description="before the trial; never subtracted",
    ),
    Metric(
        "idle_context_power_w",
        "idle power, CUDA context",
        "W",
        "none",
        "measured",
        _fixed(1, "W"),
        description="before the trial, with an empty CUDA context on its GPU; never subtracted",
    ),
    Metric(
        "co2e_g",
        "total emissions",
        "gCO2e",
        "lower",
        "modelled",
        _si("gCO2e"),
        0.02,
        description="IT energy of everything the trial used x grid intensity",
    ),
    Metric("co2e_low_g", "emissions, low", "gCO2e", "none", "modelled", _si("gCO2e")),
    Metric("co2e_high_g", "emissions, high", "gCO2e", "none", "modelled", _si("gCO2e")),
    Metric("carbon_intensity_g_per_kwh", "intensity", "g/kWh", "none", "declared", _fixed(0, "g/kWh")),
    Metric("pue", "PUE", "", "none", "declared", _fixed(2), description="facility energy / IT energy; in no joule"),
    Metric(
        "overhead_g",
        "overhead",
        "gCO2e",
        "lower",
        "modelled",
        _si("gCO2e"),
        0.02,
        description="cooling and power supply of the building: total emissions x (PUE - 1)",
    ),
    Metric(
        "embodied_g",
        "embodied",
        "gCO2e",
        "lower",
        "published",
        _si("gCO2e"),
        0.02,
        description="share of making the devices: kgCO2e / service life x wall time",
    ),
    Metric(
        "sci_g",
        "SCI",
        "gCO2e",
        "lower",
        "modelled",
        _si("gCO2e"),
        0.02,
        description="(total emissions + overhead + embodied) / R, per functional unit of the column sci_unit",
    ),
    Metric("sci_units", "R", "", "none", "declared", _amount, description="number of functional units of the SCI"),
    Metric("energy_price_per_kwh", "price per kWh", "", "none", "declared", _amount, description="in your currency"),
    Metric(
        "energy_cost",
        "electricity cost",
        "",
        "lower",
        "modelled",
        _amount,
        0.02,
        description="IT energy of everything the trial used x price, in the currency of the price",
    ),
    Metric(
        "final_loss", "final loss", "", "none", "measured", _fixed(4), description="mean of the last tenth of the steps"
    ),
    Metric("padding_pct", "padding", "%", "lower", "measured", _fixed(2, "%"), 1.0, relative=False),
    Metric(
        "cropped_pct",
        "cropped away",
        "%",
        "lower",
        "measured",
        _fixed(2, "%"),
        1.0,
        relative=False,
        description="share of the audio that no crop of the last epoch covers",
    ),
    Metric(
        "stall_pct",
        "loader stalls",
        "%",
        "lower",
        "measured",
        _fixed(2, "%"),
        1.0,
        relative=False,
        description="share of pretraining spent waiting for data",
    ),
    _error("phones_per_pct", "PER", "phone error rate of the linear probe"),
    _error("phones_per_macro_pct", "PER, macro", "phone error rate, unweighted mean over languages; two or more"),
    _error("phones_recurrent_per_pct", "PER, recurrent", "phone error rate under a small recurrent head"),
    _error("phones_frame_error_pct", "frame error", "phone classification error per frame, linear probe"),
    _error("g2p_per_pct", "PER, g2p", "phone error rate against the texts' dictionary phones, CTC"),
    _error("characters_cer_pct", "CER", "character error rate, CTC"),
    _error(
        "characters_cer_macro_pct", "CER, macro", "character error rate, unweighted mean over languages; two or more"
    ),
    _error("characters_wer_pct", "WER", "word error rate, CTC"),
    _error("keywords_error_pct", "keyword error", "keyword spotting error rate"),
    _error("speaker_error_pct", "speaker error", "speaker identification error rate"),
    _error("language_error_pct", "language error", "language identification error rate"),
    _error("abx_error_pct", "ABX", "phone ABX error, no training"),
    Metric(
        "pnmi",
        "PNMI",
        "",
        "higher",
        "measured",
        _fixed(3),
        0.01,
        relative=False,
        quality=True,
        description="phone-normalised mutual information of k-means units",
    ),
    Metric(
        "effective_rank",
        "effective rank",
        "",
        "none",
        "measured",
        _fixed(1),
        description="exponential of the entropy of the embedding's singular values",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

OWN_THRESHOLD = 0.01
"""The practical threshold of a metric of the user's own: a hundredth of the baseline."""


def declare_own(name: str, direction: Direction, unit: str = "") -> None:
    """Add a metric that a user's program logs; one with a direction counts as quality, and gates gains in energy.

    A direction is kept where a later record of the same name states none.

    Raises:
        ConfigError: the name is greenbench's own, or has another direction already.
    """
    known = METRICS.get(name)
    if known is not None and not known.own:
        raise ConfigError(f"metric {name!r} is one of greenbench's own figures; choose another name")
    if not name.isidentifier():
        raise ConfigError(f"metric {name!r}: letters, digits and _ only, beginning with a letter")
    if known is not None and "none" not in (known.direction, direction) and known.direction != direction:
        raise ConfigError(f"metric {name!r}: better when {known.direction} in one record, {direction} in another")
    if known is None or direction != "none":
        METRICS[name] = Metric(
            name,
            name,
            unit,
            direction,
            "measured",
            lambda value: f"{value:.4g} {unit}".rstrip(),
            OWN_THRESHOLD,
            quality=direction != "none",
            description="logged by the program itself",
            own=True,
        )


IDENTITY_COLUMNS = (
    "schema_version",
    "suite",
    "model",
    "family",
    "size",
    "seed",
    "control",
    "status",
    "valid",
    "resumed",
    "device",
    "gpu",
    "dtype",
    "budget_kind",
    "flops_method",
    "energy_source",
    "carbon_source",
    "carbon_date",
    "embodied_source",
    "sci_unit",
    "data",
    "data_fingerprint",
    "run_dir",
)


def format_value(name: str, value: float | None) -> str:
    """Format a metric's value with its unit; absent is an empty string."""
    if value is None:
        return ""
    metric = METRICS.get(name)
    return metric.format(value) if metric else f"{value:g}"
