"""What may be claimed against the baseline; the statistics live in ``greenbench.compare`` and ``greenbench.stats``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greenbench.metrics import METRICS
from greenbench.records import Trial
from greenbench.report.arms import Arm, Setting
from greenbench.report.learning import best_control, learning_of, sign_of
from greenbench.report.ranking import ENERGY
from greenbench.stats.verdicts import practical_threshold

if TYPE_CHECKING:
    from greenbench.compare import Comparison


@dataclass(frozen=True)
class Claims:
    """Comparisons with the baseline by ``(arm label, metric)``; pairs that were not tested are missing."""

    found: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    void: dict[tuple[str, str], str] = field(default_factory=dict)
    """Verdicts on costs that count for nothing, with the reason."""

    def verdict(self, label: str, metric: str) -> str:
        """The verdict, or an empty string where nothing was tested or the verdict is void."""
        comparison = self.found.get((label, metric))
        return comparison.verdict if comparison and (label, metric) not in self.void else ""

    def get(self, label: str, metric: str) -> Comparison | None:
        """The whole comparison."""
        return self.found.get((label, metric))


def claims_of(setting: Setting) -> Claims:
    """Compare every contestant with the baseline, metric by metric; verdicts on costs count only behind quality."""
    from greenbench.compare import compare_arms, quality_gate

    base = setting.baseline
    if base is None or not base.counted:
        return Claims()
    found, void = {}, {}
    learning = learning_of(setting)
    for arm in setting.contestants:
        if arm is base or not arm.counted:
            continue
        unlearnt = learning[arm].verdict if arm in learning else ""
        closed = f"the model is {unlearnt}" if unlearnt else quality_gate(base.counted, arm.counted)
        for comparison in compare_arms(base.counted, arm.counted):
            metric = comparison.metric
            found[arm.label, metric] = comparison
            reason = closed if is_merit(setting, metric) else f"no merit under equal {setting.keys['budget_kind']}"
            if reason and not METRICS[metric].quality:
                void[arm.label, metric] = reason
    return Claims(found, void)


NO_MERIT = {
    "seconds": ("pretrain_s", "pretrain_flops"),
    "joules": ("energy_budgeted_j", "co2e_g", "pretrain_flops"),
    "grams_co2e": ("energy_budgeted_j", "co2e_g", "pretrain_flops"),
    "flops": ("pretrain_flops",),
}
"""What a budget in a currency fixes, or leaves the slower model with: under equal seconds fewer FLOPs mean that less
was done. Under a budget of steps or of audio they are a saving."""


def is_merit(setting: Setting, metric: str) -> bool:
    """Whether less (or more) of a cost is better under the setting's budget."""
    return metric not in NO_MERIT.get(setting.keys["budget_kind"], ())


@dataclass(frozen=True)
class Target:
    """An error to reach: the baseline's, or where that is no better than a control, one that no control reaches."""

    metric: str
    value: float
    control: Arm | None = None
    """The control that the target is put ahead of; None where the target is the baseline's own figure."""


def target_of(setting: Setting) -> Target | None:
    """Choose the headline error that the models are to reach. What costs no pretraining must not reach it at 0 J."""
    name = setting.headline
    value = setting.baseline.mean(name) if setting.baseline and name else None
    if name is None or value is None:
        return None
    free = best_control(setting)
    if free is not None:
        control, reached = free
        ahead = reached - sign_of(name) * practical_threshold(METRICS[name], reached)
        if sign_of(name) * ahead < sign_of(name) * value:
            return Target(name, ahead, control)
    return Target(name, value)


def energy_to(trial: Trial, name: str, target: float) -> tuple[float, bool] | None:
    """The joules at which a trial first reached ``target`` and whether only its end was probed."""
    from greenbench.stats import energy_to_target

    final, energy = trial.figure(name), trial.figure(ENERGY)
    if final is None or energy is None:
        return None
    sign = sign_of(name)
    probed = [
        (joules, sign * error)
        for point in trial.learning_curve
        if (joules := point.figure("joules")) is not None and (error := point.figure(name)) is not None
    ]
    return energy_to_target([*probed, (energy, sign * final)], sign * target), not probed
