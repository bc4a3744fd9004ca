"""A suite to start one's own from: every key with a comment, those at their default commented out."""

from __future__ import annotations

import dataclasses
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from greenbench.config.suite import Suite
from greenbench.schema import as_table, format_toml

EXAMPLES: dict[str, Any] = {
    "seconds": 45,
    "joules": 500,
    "flops": 1e14,
    "audio_hours": 2,
    "steps": 1000,
    "grams_co2e": 0.5,
    "region": "FRA",
    "intensity_g_per_kwh": 52.0,
    "hourly_csv": "grid.csv",
    "live_zone": "FR",
    "embodied": "auto",
    "embodied_kg": 164,
    "embodied_years": 3,
    "embodied_count": 1,
    "sci_unit": "audio_hour",
    "sci_units": 1000,
    "price_per_kwh": 0.30,
    "tdp_w": 65,
}
"""What a key without a default may look like."""

_HEAD = """#:schema {schema}
# greenbench plan {file} says what this takes on your machine, greenbench run {file} runs it.
# A key behind a # stands at its default; one without a default shows an example.
"""
_OPTIONS_HINT = """
# [models.eco]                  # options laid over one model's card: greenbench models eco
# masking.probability = 0.3
"""


def starter_suite(file: str, name: str, like: Mapping[str, Any], schema: str) -> str:
    """The text of a suite that is called ``name`` and otherwise says what the table ``like`` says.

    ``schema`` is where editors find the JSON Schema of suites, relative to ``file``.
    """
    table = {**like, "suite": {**like.get("suite", {}), "name": name}}
    parts = [_HEAD.format(schema=schema, file=file)]
    for section, kind in get_type_hints(Suite).items():
        if dataclasses.is_dataclass(kind):
            parts.append("\n".join(_section(section, kind, _flat(table.get(section, {})))) + "\n")
    arms = table.get("models")
    parts.append(format_toml({"models": arms}) if arms else _OPTIONS_HINT.lstrip())
    return "\n".join(parts)


def _section(name: str, kind: Any, chosen: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    about = (inspect.getdoc(kind) or "").replace("``", "`")
    for paragraph in about.split("\n\n"):
        yield from textwrap.wrap(" ".join(paragraph.split()), 110, initial_indent="# ", subsequent_indent="# ")
    for key, default in _defaults(kind, ""):
        if key in chosen:
            yield f"{key} = {_value(chosen[key])}"
        elif default is None:
            yield f"# {key} = {_value(EXAMPLES[key.rpartition('.')[2]])}  # for example"
        else:
            yield f"# {key} = {_value(default)}"


def _defaults(kind: Any, prefix: str, default: Any = None) -> Iterator[tuple[str, Any]]:
    """Every key with its default, those of a table within in dotted form; None where there is no default."""
    for field in dataclasses.fields(kind):
        value = getattr(default, field.name, field.default)
        if dataclasses.is_dataclass(value):
            yield from _defaults(type(value), f"{prefix}{field.name}.", value)
        else:
            yield f"{prefix}{field.name}", as_table(value)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _value(value: Any) -> str:
    """TOML on one line; for these plain values it is JSON's, and large numbers are shorter with an exponent."""
    large = isinstance(value, float) and value >= 1e6
    return f"{value:g}" if large else json.dumps(value, ensure_ascii=False)
