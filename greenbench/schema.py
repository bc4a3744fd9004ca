"""TOML tables to frozen dataclasses: every unknown key, wrong type and bad value is named with its remedy."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from greenbench.errors import ConfigError, did_you_mean

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; an unreadable or malformed one is a :class:`ConfigError` that names file and line."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give an existing TOML file") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits and 1,000 brackets are no TOMLDecodeError
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return table


def parse_value(text: str) -> Any:
    """Parse the right-hand side of ``section.key=value`` as TOML, else as a plain string or comma list."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text


_known_fields: dict[type[Any], dict[str, tuple[Any, bool]]] = {}


def _fields_of(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Map the fields of a dataclass to their type and whether they have a default. Resolving types is slow: once."""
    if kind not in _known_fields:
        hints, missing = get_type_hints(kind), dataclasses.MISSING
        _known_fields[kind] = {
            f.name: (hints[f.name], f.default is not missing or f.default_factory is not missing)
            for f in dataclasses.fields(kind)
            if f.init
        }
    return _known_fields[kind]


def build(kind: type[T], table: Mapping[str, Any], where: str, *, lenient: bool = False) -> T:
    """Build dataclass ``kind`` from a table; ``where`` (``"file [section]"``) opens every message.

    ``lenient`` is for files that programs wrote: a key of another version is passed over, and null stands for the
    field's default. What people write is read strictly, so that no typing error passes silently.

    Raises:
        ConfigError: an unknown or missing key, a wrong type or a value that the dataclass refuses.
    """
    return cast(T, _build(kind, table, where, lenient=lenient))


def _build(kind: type[Any], table: object, where: str, *, lenient: bool) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table, found {table!r}")
    fields = _fields_of(kind)
    values = {}
    for key, value in table.items():
        if key not in fields:
            if lenient:
                continue
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, fields)}")
        hint, has_default = fields[key]
        if value is None and lenient and has_default:
            continue
        values[key] = coerce(value, hint, f"{where} {key}", lenient=lenient)
    absent = [name for name, (_, has_default) in fields.items() if not has_default and name not in values]
    if absent:
        raise ConfigError(f"{where}: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def coerce(value: Any, hint: Any, where: str, *, lenient: bool = False) -> Any:
    """Check ``value`` against a type hint; integers pass as floats, lists as tuples, a lone item as a tuple of one."""
    if hint is Any or hint is object:
        return value
    if isinstance(hint, type) and not hasattr(hint, "__origin__"):
        if dataclasses.is_dataclass(hint):
            return _build(hint, value, where, lenient=lenient)
        if lenient and hint is int and isinstance(value, float) and value.is_integer():
            return int(value)
        return _scalar(value, hint, where)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _coerce_union(value, args, where, lenient=lenient)
    if origin is Literal:
        if value not in args:
            hint_text = did_you_mean(str(value), [str(a) for a in args])
            raise ConfigError(f"{where}: found {value!r}{hint_text}")
        return value
    if origin in (tuple, list):
        return _coerce_items(value, origin, args, where, lenient=lenient)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table, found {value!r}")
        return {key: coerce(item, args[1], f"{where}.{key}", lenient=lenient) for key, item in value.items()}
    raise TypeError(f"{where}: no table is read into {hint!r}")


def _coerce_union(value: Any, args: tuple[Any, ...], where: str, *, lenient: bool) -> Any:
    if value is None and type(None) in args:
        return None
    problems = []
    for option in args:
        if option is type(None):
            continue
        try:
            return coerce(value, option, where, lenient=lenient)
        except ConfigError as error:
            problems.append(error)
    raise problems[0]


def _coerce_items(value: Any, kind: type[Any], args: tuple[Any, ...], where: str, *, lenient: bool) -> Any:
    if isinstance(value, str):
        value = [parse_value(part.strip()) for part in value.split(",")] if value else []
    elif not isinstance(value, (list, tuple)):
        value = [value]
    if kind is tuple and args[-1] is not Ellipsis:
        if len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, found {len(value)}")
        return tuple(
            coerce(v, a, f"{where}[{i}]", lenient=lenient) for i, (v, a) in enumerate(zip(value, args, strict=True))
        )
    return kind(coerce(v, args[0], f"{where}[{i}]", lenient=lenient) for i, v in enumerate(value))


def _scalar(value: Any, hint: type[Any], where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{where}: found a whole number too large for any figure") from error
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: found {value!r}, which is no finite number")
    if hint is str and not isinstance(value, str) and isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested table over another: tables are merged at every depth, all else is replaced."""
    result = dict(base)
    for key, value in over.items():
        kept = result.get(key)
        if isinstance(kept, Mapping) and isinstance(value, Mapping):
            value = overlay(kept, value)
        result[key] = value
    return result


def as_table(value: Any) -> Any:
    """Turn a (nested) dataclass into plain TOML types; ``None`` entries are left out, since TOML has no null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, as_table(getattr(value, f.name))) for f in dataclasses.fields(value))
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {str(k): as_table(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [as_table(v) for v in value]
    return value


def format_toml(table: Mapping[str, Any]) -> str:
    """Write a table as TOML text."""
    import tomli_w

    return tomli_w.dumps(table)
