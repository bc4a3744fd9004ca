"""Which arm stands where: the quality metrics of a setting, arms by their headline error, ratios to the baseline."""

from __future__ import annotations

from greenbench.metrics import METRICS
from greenbench.report.arms import Arm, Setting

EMISSIONS_AND_MONEY = ("co2e_g", "overhead_g", "embodied_g", "sci_g", "energy_cost")
ENERGY, TOTAL_ENERGY, MEMORY = "energy_budgeted_j", "energy_total_j", "peak_memory_bytes"


def quality_metrics(setting: Setting) -> list[str]:
    """The quality metrics that any arm has, the headline first."""
    found = [name for name, m in METRICS.items() if m.quality and any(arm.values(name) for arm in setting.arms)]
    return sorted(found, key=lambda name: name != setting.headline)


def ranked(setting: Setting) -> list[Arm]:
    """The contestants, best headline first; those without the figure last."""
    name = setting.headline
    if name is None:
        return setting.contestants
    sign = -1 if METRICS[name].direction == "higher" else 1

    def key(arm: Arm) -> tuple[bool, float]:
        value = arm.mean(name)
        return (value is None, sign * (value or 0.0))

    return sorted(setting.contestants, key=key)


def with_controls(setting: Setting) -> list[Arm]:
    """The contestants, best headline first, each followed by its own random weights, then other controls."""
    arms = [one for arm in ranked(setting) for one in (arm, setting.own_random.get(arm)) if one is not None]
    return [*arms, *(control for control in setting.controls if control not in arms)]


def ratio(arm: Arm, baseline: Arm | None, metric: str) -> float | None:
    """The arm's mean over the baseline's mean."""
    mine, base = arm.mean(metric), baseline.mean(metric) if baseline else None
    return mine / base if mine is not None and base else None


def control_name(arm: Arm) -> str:
    """A control's name in words."""
    if arm.control == "logmel":
        return "log-mel, no model"
    return f"{arm.of}, random weights" if arm.of else arm.label
