"""What may be claimed against the baseline; the statistics live in ``greenbench.compare`` and ``greenbench.stats``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greenbench.metrics import METRICS
from greenbench.records import Trial
from greenbench.report.arms import Setting
from greenbench.report.ranking import ENERGY

if TYPE_CHECKING:
    from greenbench.compare import Comparison


@dataclass(frozen=True)
class Claims:
    """Comparisons with the baseline by ``(arm label, metric)``; pairs that were not tested are missing."""

    found: dict[tuple[str, str], Comparison] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def verdict(self, label: str, metric: str) -> str:
        """Return the verdict, or an empty string where nothing was tested."""
        comparison = self.found.get((label, metric))
        return comparison.verdict if comparison else ""

    def get(self, label: str, metric: str) -> Comparison | None:
        """Return the whole comparison."""
        return self.found.get((label, metric))


def claims_of(setting: Setting) -> Claims:
    """Compare every contestant with the baseline, metric by metric."""
    from greenbench.compare import compare_arms

    base = setting.baseline
    if base is None or not base.counted:
        return Claims()
    found = {}
    for arm in setting.contestants:
        if arm is not base and arm.counted:
            for comparison in compare_arms(base.counted, arm.counted):
                found[arm.label, comparison.metric] = comparison
    return Claims(found)


def target_of(setting: Setting) -> tuple[str, float] | None:
    """Return the headline metric and the baseline's final mean in it: the target that the others are to reach."""
    name = setting.headline
    value = setting.baseline.mean(name) if setting.baseline and name else None
    return (name, value) if name and value is not None else None


def energy_to(trial: Trial, name: str, target: float) -> tuple[float, bool] | None:
    """Return the joules at which a trial first reached ``target`` and whether only its end was probed."""
    from greenbench.stats import energy_to_target

    final, energy = trial.figure(name), trial.figure(ENERGY)
    if final is None or energy is None:
        return None
    sign = -1 if METRICS[name].direction == "higher" else 1
    probed = [
        (joules, sign * error)
        for point in trial.learning_curve
        if (joules := point.figure("joules")) is not None and (error := point.figure(name)) is not None
    ]
    return energy_to_target([*probed, (energy, sign * final)], sign * target), not probed
