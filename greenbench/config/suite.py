"""Suites: a TOML file of a few lines, checked and completed into frozen dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenbench.config.sections import (
    CURRENCIES,
    BudgetSection,
    CarbonSection,
    EvaluateSection,
    PowerSection,
    ProtocolSection,
    SuiteSection,
    TrainSection,
)
from greenbench.errors import ConfigError, did_you_mean
from greenbench.resources import share
from greenbench.schema import as_table, build, format_toml, parse_value, read_toml

SUITE_FILE = "suite.toml"
"""The resolved suite in a run folder."""


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
        """What overrides the card of one entry of ``suite.models``."""
        return {key: value for key, value in self.models.get(label, {}).items() if key != "train"}

    def train_of(self, label: str) -> TrainSection:
        """How one entry of ``suite.models`` is trained: [train] with [models.LABEL.train] laid over it."""
        own = self.models.get(label, {}).get("train")
        return _own_train(as_table(self.train), own, f"[models.{label}.train]") if own else self.train

    def with_budget(self, share: float) -> Suite:
        """The same suite under a part of its budget; steps are rounded up to a whole one."""
        kind, limit = self.budget.kind, self.budget.limit * share
        return self.replace("budget", **{kind: float(math.ceil(limit)) if kind == "steps" else limit})

    def to_toml(self) -> str:
        """The TOML text that loads to this very suite."""
        return format_toml(as_table(self))

    def replace(self, section: str, **changes: Any) -> Suite:
        """A copy with keys of one section changed."""
        return dataclasses.replace(self, **{section: dataclasses.replace(getattr(self, section), **changes)})


def suite_folder() -> Path:
    """The folder of the built-in suites."""
    return share("models") / "suites"


def builtin_suites() -> dict[str, Path]:
    """The built-in suites by name."""
    return {path.stem: path for path in sorted(suite_folder().glob("*.toml"))}


def load_suite(name_or_path: str, overrides: Sequence[str] = ()) -> Suite:
    """Load a built-in suite or a TOML file and apply ``section.key=value`` overrides.

    Raises :class:`ConfigError` with one line that names file, key, what was found and what is allowed.
    """
    known = builtin_suites()
    path = known.get(name_or_path)
    if path is None:
        path = Path(name_or_path)
        if path.suffix != ".toml" and (share("models") / f"{name_or_path}.toml").exists():
            raise ConfigError(f"suite {name_or_path!r} is unknown; it is a model: -o suite.models={name_or_path}")
        if path.suffix != ".toml" and not path.exists():
            raise ConfigError(
                f"suite {name_or_path!r} is neither built in nor a TOML file{did_you_mean(name_or_path, known)}"
            )
    table = read_toml(path)
    if name_or_path not in known:
        _find_beside(path, table)
    arms = set(table.get("models", {}))
    _refuse_two_budgets(overrides)
    data = _scored_data(table)
    for text in overrides:
        _apply_override(table, text)
    if _scored_data(table) != data and not _names(overrides, "evaluate.labels"):
        _drop_labels(table)
    if _names(overrides, "suite.models"):
        _drop_arms(table, arms - {text.split(".")[1] for text in overrides if text.startswith("models.")})
    return suite_from_table(table, str(path) if name_or_path not in known else name_or_path)


def _find_beside(path: Path, table: Mapping[str, Any]) -> None:
    """Read the paths of own models as relative to the suite's file; those found from the shell alone stay as they are.

    A path that means the same from both stays relative, so that a suite beside its models can be moved with them.
    """
    suite = table.get("suite")
    listed = suite.get("models") if isinstance(suite, dict) else None
    if not isinstance(suite, dict) or not isinstance(listed, list):
        return

    def found(entry: Any) -> Any:
        label, separator, target = entry.rpartition("=") if isinstance(entry, str) else ("", "", "")
        file, colon, name = target.rpartition(":")
        beside = path.parent / file
        if not file.endswith(".py") or not beside.is_file() or beside.resolve() == Path(file).resolve():
            return entry
        return f"{label}{separator}{beside.resolve()}{colon}{name}"

    suite["models"] = [found(entry) for entry in listed]


def _refuse_two_budgets(overrides: Sequence[str]) -> None:
    given = [text for text in overrides if text.partition("=")[0].strip() in {f"budget.{name}" for name in CURRENCIES}]
    if len(given) > 1:
        raise ConfigError(f"-o {given[0]} and -o {given[1]}: a run has one budget; give one of them")


def _names(overrides: Sequence[str], key: str) -> bool:
    return any(text.partition("=")[0].strip() == key for text in overrides)


def _scored_data(table: Mapping[str, Any]) -> Any:
    """The corpus that is scored, as far as a table whose sections are not checked yet can tell."""
    suite, evaluate = (part if isinstance(part := table.get(name), dict) else {} for name in ("suite", "evaluate"))
    return evaluate.get("data") or suite.get("data")


def _drop_labels(table: Mapping[str, Any]) -> None:
    """Forget a set of labels that the file chose for a corpus which the command line replaced."""
    if isinstance(evaluate := table.get("evaluate"), dict):
        evaluate.pop("labels", None)


def _drop_arms(table: dict[str, Any], arms: set[str]) -> None:
    """Take out the options of arms that a choice of models on the command line left out."""
    chosen = table["suite"]["models"]
    if not isinstance(chosen, (str, list, tuple)):
        return  # the section's own check says what it must be
    entries = chosen.split(",") if isinstance(chosen, str) else [str(entry) for entry in chosen]
    for label in arms - {entry.partition("=")[0].strip() for entry in entries}:
        del table["models"][label]


def model_options(entry: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The options that ``models.<label>.key=value`` overrides give to one entry (``card``, an own class).

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
        "suite": SuiteSection,
        "budget": BudgetSection,
        "train": TrainSection,
        "evaluate": EvaluateSection,
        "carbon": CarbonSection,
        "power": PowerSection,
        "protocol": ProtocolSection,
    }
    parts = {name: build(kind, table.get(name, {}), f"{where} [{name}]") for name, kind in kinds.items()}
    options = table.get("models", {})
    if not isinstance(options, Mapping):
        raise ConfigError(f"{where}: [models] must be a table of tables, found {options!r}; [suite] models lists them")
    labels = parts["suite"].labels
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
    """A short, stable hash of plain data: the same configuration gives the same text on every machine."""
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
