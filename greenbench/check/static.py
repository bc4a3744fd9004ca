"""Costs without training: what the budgets' deterministic metrics are for the code as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from greenbench.cards import card_names, load_card, resolve
from greenbench.check.budgets import STATIC_METRICS, Budget
from greenbench.errors import ConfigError, did_you_mean

DEFAULT_SIZE = "tiny"
_WILD = frozenset("*?[")


def static_targets(budgets: Iterable[Budget], accepted: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """The ``(model, size)`` pairs that the static entries cover.

    A pattern in an entry's ``model`` matches what the baseline holds, or, without a baseline, all cards that train
    here; a plain name, ``package.module:Class``, ``file.py:Class`` or a card file is taken as it is.
    """
    known = list(accepted)
    found: dict[tuple[str, str], None] = {}
    for budget in budgets:
        if not budget.exact:
            continue
        models = _models(budget.model, {model for model, _ in known})
        for model in models:
            for size in _sizes(model, budget.size, {s for m, s in known if m == model}):
                found[model, size] = None
    return list(found)


def _models(pattern: str, accepted: set[str]) -> list[str]:
    if not _WILD & set(pattern):
        return [pattern]
    names = sorted(accepted) or [name for name in card_names() if load_card(name).card.trains]
    matching = [name for name in names if fnmatchcase(name, pattern)]
    if not matching:
        raise ConfigError(f"[[budget]] model = {pattern!r} matches no model{did_you_mean(pattern, names)}")
    return matching


def _sizes(model: str, pattern: str, accepted: set[str]) -> list[str]:
    if pattern != "*" and not _WILD & set(pattern):
        return [pattern]
    if accepted:
        return sorted(size for size in accepted if fnmatchcase(size, pattern))
    sizes = [] if ":" in model else sorted(load_card(model).sizes)
    return [size for size in sizes if fnmatchcase(size, pattern)] or [DEFAULT_SIZE]


def static_costs(
    targets: Iterable[tuple[str, str]], *, seconds: float = 10.0
) -> dict[tuple[str, str], dict[str, float]]:
    """Count each model on the meta device; needs torch, and takes about a second a model.

    Raises :class:`ConfigError` for an unknown model or size.
    """
    from greenbench.cost.model_cost import count

    costs = {}
    for model, size in targets:
        cost = count(resolve(model, size), seconds=seconds, fvcore=False)
        costs[model, size] = _figures({name: getattr(cost, name) for name in STATIC_METRICS})
    return costs


def _figures(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None}
