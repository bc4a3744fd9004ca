"""Model cards: ``models/<name>.toml`` says what a model is, how it trains and what its paper published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from greenbench.errors import ConfigError, did_you_mean
from greenbench.resources import share
from greenbench.schema import build, overlay, read_toml

FAMILIES = ("efficient", "predictive", "contrastive", "distilled", "multilingual", "pretrained", "control", "own")


@dataclass(frozen=True)
class Recipe:
    """How a model trains: optimizer and schedule, the latter as fractions of the budget.

    ``learning_rate`` is the peak. The rate rises over ``warmup_fraction`` of the budget, stays, and falls over the
    last ``decay_fraction`` to ``final_lr_ratio`` of the peak.
    """

    optimizer: Literal["adamw", "adam", "muon"] = "adamw"
    learning_rate: float = 1e-3
    muon_learning_rate: float = 0.02
    betas: tuple[float, ...] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01
    warmup_fraction: float = 0.05
    decay_fraction: float = 0.5
    final_lr_ratio: float = 0.0
    grad_clip: float = 1.0


@dataclass(frozen=True)
class PublishedFigure:
    """One figure of a publication. Nothing ships without a source.

    ``evidence``: ``paper`` (read in a primary source), ``abstract``, ``secondary`` or ``computed`` (from published
    configurations).
    """

    metric: str
    value: float
    unit: str
    source: str
    evidence: Literal["paper", "abstract", "secondary", "computed"] = "paper"
    variant: str = ""
    note: str = ""


@dataclass(frozen=True)
class Pretraining:
    """The whole pretraining that a card is meant for: ``epochs`` over ``data_h`` hours of ``data``, and why so many."""

    data: str
    data_h: float
    epochs: float
    reason: str

    @property
    def audio_h(self) -> float:
        """The hours of audio processed."""
        return self.data_h * self.epochs


@dataclass(frozen=True)
class CardHead:
    """The ``[card]`` table."""

    name: str
    title: str
    family: Literal[
        "efficient", "predictive", "contrastive", "distilled", "multilingual", "pretrained", "control", "own"
    ]
    summary: str
    code: str = ""
    year: int | None = None
    paper: str = ""
    techniques: tuple[str, ...] = ()
    trains: bool = True


@dataclass(frozen=True)
class Card:
    """A checked card. ``sizes`` maps a size name to architecture options, laid over ``architecture``."""

    card: CardHead
    recipe: Recipe = field(default_factory=Recipe)
    architecture: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    published: tuple[PublishedFigure, ...] = ()
    pretraining: Pretraining | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name


@dataclass(frozen=True)
class ModelSpec:
    """One contestant: a card at a size with all options resolved; plain data, so it hashes and pickles."""

    label: str
    card: str
    family: str
    code: str
    size: str
    architecture: dict[str, Any]
    recipe: Recipe


def card_names() -> dict[str, Path]:
    """The shipped cards by name."""
    return {path.stem: path for path in sorted(share("models").glob("*.toml"))}


def load_card(name: str) -> Card:
    """Load a shipped card by name, or a card file by path.

    Raises :class:`ConfigError` for an unknown name (with the nearest known one) or a bad card.
    """
    known = card_names()
    path = known.get(name)
    if path is None and name.endswith(".toml"):
        path = Path(name)
    if path is None and (share("models") / "suites" / f"{name}.toml").exists():
        raise ConfigError(f"model {name!r} is unknown; it is a suite: greenbench plan {name}")
    if path is None and ":" in name:
        raise ConfigError(
            f"{name!r} is a class and has no card; greenbench cost {name} and models --check {name} take it"
        )
    if path is None:
        raise ConfigError(
            f"model {name!r} is unknown{did_you_mean(name, known)} (or package.module:Class, file.py:Class)"
        )
    return card_from_table(read_toml(path), str(path))


def card_from_table(table: Mapping[str, Any], where: str) -> Card:
    """Check a card given as plain tables."""
    allowed = ("card", "recipe", "architecture", "sizes", "pretraining", "published")
    for key in table:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown table [{key}]{did_you_mean(key, allowed)}")
    sizes = _table(table, "sizes", where)
    figures = tuple(
        build(PublishedFigure, row, f"{where} [[published]] #{i + 1}")
        for i, row in enumerate(table.get("published", []))
    )
    for i, figure in enumerate(figures):
        if not figure.source.strip():
            raise ConfigError(
                f"{where} [[published]] #{i + 1} {figure.metric}: source is empty; a figure needs its source"
            )
    return Card(
        card=build(CardHead, table.get("card", {}), f"{where} [card]"),
        recipe=build(Recipe, table.get("recipe", {}), f"{where} [recipe]"),
        architecture=_table(table, "architecture", where),
        sizes={k: _table(sizes, k, f"{where} [sizes]") for k in sizes},
        published=figures,
        pretraining=build(Pretraining, table["pretraining"], f"{where} [pretraining]")
        if "pretraining" in table
        else None,
        path=where,
    )


def _table(table: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """A table of a card whose keys are the code's business; a recipe inside of it must be one, too."""
    value = table.get(name, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: [{name}] must be a table, found {value!r}")
    if not isinstance(value.get("recipe", {}), Mapping):
        raise ConfigError(f"{where}: [{name}.recipe] must be a table, found {value['recipe']!r}")
    return dict(value)


def resolve(entry: str, size: str, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """Resolve a suite entry (``card``, ``label=card`` or an own class) at a size, with options laid over it.

    Options named like a recipe key change the recipe, ``size`` the size, all others the architecture, whose nested
    tables are merged key by key.
    """
    label, separator, target = entry.partition("=")
    target = target if separator else label
    options = dict(options or {})
    size = str(options.pop("size", size))
    card = _own_card(target) if ":" in target else load_card(target)
    if not card.card.code:
        raise ConfigError(
            f"model {card.name!r}: its card holds published figures only, there is no code to train or count; "
            "greenbench models lists those that train here"
        )
    if card.sizes and size not in card.sizes:
        raise ConfigError(f"model {card.name!r} has no size {size!r}{did_you_mean(size, card.sizes)}")
    architecture = overlay(card.architecture, card.sizes.get(size, {}))
    recipe_table = {**vars(card.recipe), **architecture.pop("recipe", {})}
    architecture = overlay(architecture, {k: v for k, v in options.items() if k not in recipe_table})
    recipe_table |= {k: v for k, v in options.items() if k in recipe_table}
    recipe = build(Recipe, recipe_table, f"[models.{label}]")
    name = label if separator else card.name
    return ModelSpec(name, card.name, card.card.family, card.card.code, size, architecture, recipe)


def _own_card(target: str) -> Card:
    name = target.rpartition(":")[2]
    return Card(CardHead(name=name, title=name, family="own", summary=f"own model {target}", code=target))
