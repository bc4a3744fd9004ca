"""Whether a model has learnt anything: its headline error beside the same probe on untrained weights and on log-mel.

The comparison is by means and untested (``greenbench compare RUN --own-random`` tests). A lead within the metric's
practical threshold does not count as one: ``better`` is claimed nowhere in greenbench for less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from greenbench.metrics import METRICS
from greenbench.report.arms import Arm, Setting
from greenbench.report.ranking import ranked
from greenbench.stats.verdicts import practical_threshold

Standing = Literal["ahead", "level", "behind"]


@dataclass(frozen=True)
class Reference:
    """One untrained representation that a model is held against. ``lead`` is positive where the model is better."""

    control: Arm
    value: float
    lead: float
    standing: Standing

    @property
    def is_weights(self) -> bool:
        """Whether it is a network with random weights; else it is log-mel, without a network."""
        return self.control.control.startswith("random")


@dataclass(frozen=True)
class Learning:
    """What training made of one model: its headline figure beside the untrained references it must beat."""

    arm: Arm
    value: float
    references: tuple[Reference, ...]

    @property
    def not_beaten(self) -> tuple[Reference, ...]:
        """The references that the model is not ahead of, the worst for it first."""
        return tuple(sorted((r for r in self.references if r.standing != "ahead"), key=lambda r: r.lead))

    @property
    def nothing(self) -> bool:
        """Whether the model has learnt nothing that shows."""
        return bool(self.not_beaten)

    @property
    def verdict(self) -> str:
        """What to write beside the model's name; empty where it has learnt."""
        weights = [r for r in self.not_beaten if r.is_weights]
        if not self.nothing:
            return ""
        how = "worse than" if self.not_beaten[0].standing == "behind" else "no better than"
        return f"{how} {'untrained weights' if weights else 'log-mel'}"


@lru_cache(maxsize=32)
def learning_of(setting: Setting) -> dict[Arm, Learning]:
    """Hold every contestant against its untrained references, best first; models without a figure are left out.

    A model's own random weights stand for untrained weights where they were scored; else those of other models do,
    because a suite without ``random:*`` draws one network for all.
    """
    name = setting.headline
    found: dict[Arm, Learning] = {}
    for arm in ranked(setting) if name else ():
        value = arm.mean(name or "")
        references = [r for control in _references(setting, arm) if (r := _reference(arm, control, name or ""))]
        if value is not None and references:
            found[arm] = Learning(arm, value, tuple(references))
    return found


def learnt_nothing(setting: Setting) -> dict[Arm, Learning]:
    """The contestants that are no better than an untrained reference, best first."""
    return {arm: found for arm, found in learning_of(setting).items() if found.nothing}


def best_control(setting: Setting) -> tuple[Arm, float] | None:
    """The control with the best headline figure: what costs no pretraining at all. None without a scored control."""
    name = setting.headline
    scored = [(control, value) for control in setting.controls if name and (value := control.mean(name)) is not None]
    if not scored or name is None:
        return None
    return min(scored, key=lambda pair: sign_of(name) * pair[1])


def sign_of(metric: str) -> int:
    """1 where lower is better, -1 where higher is."""
    return -1 if METRICS[metric].direction == "higher" else 1


def _references(setting: Setting, arm: Arm) -> list[Arm]:
    own = setting.own_random.get(arm)
    weights = [own] if own else [c for c in setting.controls if c.control.startswith("random")]
    return [*weights, *(c for c in setting.controls if not c.control.startswith("random"))]


def _reference(arm: Arm, control: Arm, name: str) -> Reference | None:
    mine, theirs = arm.mean(name), control.mean(name)
    if mine is None or theirs is None:
        return None
    lead = sign_of(name) * (theirs - mine)
    margin = practical_threshold(METRICS[name], theirs)
    standing: Standing = "behind" if lead < 0 else "ahead" if lead > margin else "level"
    return Reference(control, theirs, lead, standing)
