"""Options of a model: read off its constructor, checked, and built into the constructor's arguments.

A parameter annotated with a dataclass is a group, a nested table of the card (``[architecture.masking]``). A card, a
size and a suite may each give some of its keys; what none of them gives is the parameter's default.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from greenbench.errors import ConfigError, did_you_mean
from greenbench.schema import as_table, build, coerce, overlay

if TYPE_CHECKING:
    from greenbench.models.base import Upstream

_PLAIN = (bool, int, float, str, type(None))
_LEAF_CUTOFF = 0.8


def arguments(kind: type[Upstream], table: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Turn a resolved card's options into keyword arguments of ``kind``.

    ``label`` names the contestant in messages. Constructors that take ``**options`` get what is not known as it is,
    and so do parameters whose annotation the schema does not know.

    Raises:
        ConfigError: an unknown option, with the nearest known one; a value of the wrong type; a group's own refusal.
    """
    parameters = inspect.signature(kind).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    hints = _hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in parameters:
            if not open_ended:
                raise ConfigError(f"[models.{label}]: unknown option {key!r}{_nearest(key, kind)}")
            values[key] = value
        elif dataclasses.is_dataclass(hints.get(key)):
            values[key] = _group(hints[key], parameters[key].default, value, f"[models.{label}.{key}]")
        else:
            checked = _is_checked(hints.get(key, Any))
            values[key] = coerce(value, hints[key], f"[models.{label}] {key}") if checked else value
    return values


def option_names(kind: type[Upstream]) -> Iterator[str]:
    """Name every option that ``kind`` takes by its path: ``"masking.span"``, ``"language_alpha"``."""
    hints = _hints(kind)
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        yield from _paths(name, hints.get(name))


def defaults(kind: type[Upstream]) -> dict[str, Any]:
    """Give the options of ``kind`` as nested tables of their defaults; what has none is left out."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: as_table(p.default) for p in parameters if p.default is not inspect.Parameter.empty}


def _group(kind: Any, default: Any, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        keys = ", ".join(field.name for field in dataclasses.fields(kind))
        raise ConfigError(f"{where}: expected a table with keys of {keys}; found {table!r}")
    return build(kind, overlay(as_table(default) if isinstance(default, kind) else {}, table), where)


def _paths(name: str, hint: Any) -> Iterator[str]:
    if not dataclasses.is_dataclass(hint):
        yield name
        return
    nested = get_type_hints(hint)
    for field in dataclasses.fields(hint):
        yield from _paths(f"{name}.{field.name}", nested[field.name])


def _nearest(key: str, kind: type[Upstream]) -> str:
    names = list(option_names(kind))
    leaves = {name.rpartition(".")[2]: name for name in reversed(names)}
    close = difflib.get_close_matches(key, leaves, n=1, cutoff=_LEAF_CUTOFF)
    # A key that stands in a group is most often given without it.
    return (
        f"; did you mean {leaves[close[0]]!r}? Allowed: {', '.join(names)}"
        if close
        else did_you_mean(key, names, cutoff=0.5)
    )


def _hints(kind: type[Upstream]) -> dict[str, Any]:
    try:
        return get_type_hints(kind.__init__)
    except (NameError, TypeError):
        # Own code may annotate with names that exist for the type checker alone.
        return {}


def _is_checked(hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType):
        return all(_is_checked(option) for option in inner)
    if origin is tuple:
        return len(inner) == 2 and inner[1] is Ellipsis and _is_checked(inner[0])
    return hint in _PLAIN
