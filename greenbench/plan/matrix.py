"""The matrix of trials and its order: which model, which seed, in which folder, after which other one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from greenbench import cards
from greenbench.config import Suite, TrainSection, digest
from greenbench.errors import ConfigError, did_you_mean
from greenbench.records.folder_names import folder_name
from greenbench.schema import as_table

CONTROLS = ("logmel", "random")
_NO_EFFECT = ("checkpoint_seconds", "log_seconds")
"""Keys of [train] that change when something is written, not what comes out."""


@dataclass(frozen=True)
class TrialPlan:
    """One trial to run: a contestant or a control, with one seed.

    ``spec`` is None for the control ``logmel``, which has no model. ``control`` is empty for contestants. ``train`` is
    the suite's [train], with an arm's own keys laid over it.
    """

    label: str
    spec: cards.ModelSpec | None
    control: str
    seed: int
    folder_name: str
    config_hash: str
    train: TrainSection = field(default_factory=TrainSection)

    @property
    def trains(self) -> bool:
        """Whether the trial pretrains: contestants do, controls do not."""
        return not self.control

    @property
    def family(self) -> str:
        """The model's family, ``control`` for controls."""
        return "control" if self.control or self.spec is None else self.spec.family

    @property
    def size(self) -> str:
        """The model's size; empty without a model."""
        return self.spec.size if self.spec else ""


@dataclass(frozen=True)
class Arm:
    """One row of the matrix: a contestant or a control, before seeds are given; no ``train`` means the suite's."""

    label: str
    spec: cards.ModelSpec | None
    control: str = ""
    train: TrainSection | None = None


def arms(suite: Suite) -> tuple[Arm, ...]:
    """The contestants in the suite's order, then the controls."""
    contestants = tuple(_contestant(suite, entry) for entry in suite.suite.models)
    named = [name for text in suite.suite.controls for name in _each(text, contestants)]
    return _distinct(contestants + tuple(_control(text, contestants) for text in dict.fromkeys(named)))


def expand(suite: Suite) -> tuple[TrialPlan, ...]:
    """All trials in the order in which they run.

    Arms are interleaved: forwards for the first seed, backwards for the second (A B B A), so that a machine that
    warms up or slows down favours none. Controls run once per seed too, also ``logmel``, whose features never
    change: its probe is seeded, so its figure has a spread, and a comparison paired by seed needs equal numbers.

    Raises:
        ConfigError: a model, size, option or control is unknown.
    """
    rows = arms(suite)
    return tuple(
        _trial(suite, arm, seed)
        for number, seed in enumerate(dict.fromkeys(suite.suite.seeds))
        for arm in (rows if number % 2 == 0 else rows[::-1])
    )


def config_hash(suite: Suite, arm: Arm, seed: int) -> str:
    """The hash of everything that changes a trial's result.

    Model, seed, budget, training, evaluation and data count. The label does not (the same model under two names has
    one hash), nor do carbon, power and protocol, nor how often something is logged or saved.
    """
    train = {key: value for key, value in as_table(arm.train or suite.train).items() if key not in _NO_EFFECT}
    # A control that is off changes nothing: trials from before it was there keep their hash.
    evaluate = {k: v for k, v in as_table(suite.evaluate).items() if k != "shuffled" or v}
    return digest(
        {
            "spec": None if arm.spec is None else as_table(replace(arm.spec, label="")),
            "source": _own_source(arm.spec),
            "control": arm.control.partition(":")[0],
            "seed": seed,
            "budget": suite.budget,
            "train": train,
            "evaluate": evaluate,
            "data": suite.suite.data,
        }
    )


def _trial(suite: Suite, arm: Arm, seed: int) -> TrialPlan:
    found = config_hash(suite, arm, seed)
    folder = folder_name(arm.label, seed, found)
    return TrialPlan(arm.label, arm.spec, arm.control, seed, folder, found, arm.train or suite.train)


def _contestant(suite: Suite, entry: str) -> Arm:
    key = entry.partition("=")[0]
    spec = cards.resolve(entry, suite.suite.size, suite.options_of(key))
    return Arm(spec.label, spec, train=suite.train_of(key))


def _each(text: str, contestants: tuple[Arm, ...]) -> list[str]:
    """Write ``random:*`` out: one control for each model of the suite whose weights are drawn here."""
    if text != "random:*":
        return [text]
    return [f"random:{arm.label}" for arm in contestants if not _loaded(arm.spec)]


def _loaded(spec: cards.ModelSpec | None) -> bool:
    """Whether a model's weights were trained elsewhere: built anew, they are the trained ones."""
    return spec is not None and spec.family == "pretrained"


def _control(text: str, contestants: tuple[Arm, ...]) -> Arm:
    kind, _, target = text.partition(":")
    if kind not in CONTROLS or (target and kind != "random"):
        raise ConfigError(
            f"[suite] controls: {text!r} is unknown{did_you_mean(text, CONTROLS)}, random:LABEL, random:*"
        )
    if kind == "logmel":
        return Arm("logmel", None, "logmel")
    by_label = {arm.label: arm.spec for arm in contestants}
    if target and target not in by_label:
        raise ConfigError(f"[suite] controls: {text!r} names no model of the suite{did_you_mean(target, by_label)}")
    spec = by_label[target] if target else contestants[0].spec
    if _loaded(spec):
        raise ConfigError(
            f"[suite] controls: {text!r} is a pretrained model, whose weights are loaded; name another one"
        )
    return Arm(f"random-{target}" if target else "random", spec, text)


def _distinct(rows: tuple[Arm, ...]) -> tuple[Arm, ...]:
    labels = [arm.label for arm in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"[suite] models and controls share the name {label!r}; give the model a label")
        if not label or any(c in label for c in "/\\:=") or label.startswith("."):
            raise ConfigError(f"[suite] models: {label!r} cannot name a folder; write 'label={label}'")
    return rows


def _own_source(spec: cards.ModelSpec | None) -> str | None:
    """The hash of a user's own model file, so that an edited model is a new trial."""
    file_name = spec.code.rpartition(":")[0] if spec else ""
    path = Path(file_name)
    if not file_name.endswith(".py") or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
