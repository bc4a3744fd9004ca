"""TOML tables to frozen dataclasses: every unknown key, wrong type and bad value is named with its remedy."""

from __future__ import annotations

import dataclasses
import sys
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from greenbench.errors import ConfigError, did_you_mean

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; an unreadable or malformed one is a :class:`ConfigError` that names file and line."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return table


def parse_value(text: str) -> Any:
    """Parse the right-hand side of ``section.key=value`` as TOML, else as a plain string or comma list."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def build(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build dataclass ``kind`` from a table; ``where`` (``"file [section]"``) opens every message."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: expected a table, found {table!r}")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, fields)}")
    values = {key: coerce(value, hints[key], f"{where} {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def coerce(value: Any, hint: Any, where: str) -> Any:
    """Check ``value`` against a type hint; integers pass as floats, lists as tuples, a lone item as a tuple of one."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _coerce_union(value, args, where)
    if origin is Literal:
        if value not in args:
            hint_text = did_you_mean(str(value), [str(a) for a in args])
            raise ConfigError(f"{where}: found {value!r}{hint_text}")
        return value
    if origin is tuple:
        return _coerce_tuple(value, args[0], where)
    if origin in (dict, Mapping) or origin is getattr(sys.modules["collections.abc"], "Mapping", None):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table, found {value!r}")
        return dict(value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    return _coerce_scalar(value, hint, where)


def _coerce_union(value: Any, args: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in args:
        return None
    problems = []
    for option in args:
        if option is type(None):
            continue
        try:
            return coerce(value, option, where)
        except ConfigError as error:
            problems.append(error)
    raise problems[0]


def _coerce_tuple(value: Any, item: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [parse_value(part.strip()) for part in value.split(",")] if value else []
    elif not isinstance(value, (list, tuple)):
        value = [value]
    return tuple(coerce(v, item, f"{where}[{i}]") for i, v in enumerate(value))


def _coerce_scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and not isinstance(value, str) and isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


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
