"""JSON Schema (draft 2020-12) of dataclasses: what the files that greenbench writes hold, for readers elsewhere."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def json_schema(kind: type[Any], title: str, *, typed_by_people: bool = False) -> dict[str, object]:
    """Describe what ``kind`` is written as; nested dataclasses become definitions with their docstrings.

    Keys without a default are required. Others may be added by later versions, so unknown ones are allowed, except in
    what is ``typed_by_people``: there an unknown key is a typing error, defaults are told, and nothing is null.

    Raises:
        TypeError: a field's type has no counterpart in JSON.
    """
    definitions: dict[str, object] = {}
    table = _object(kind, definitions)
    schema = {"$schema": DIALECT, "title": title, **table, "$defs": dict(sorted(definitions.items()))}
    return _for_people(schema) if typed_by_people else schema


def _object(kind: type[Any], definitions: dict[str, object]) -> dict[str, object]:
    hints = get_type_hints(kind)
    fields = [f for f in dataclasses.fields(kind) if f.init]
    missing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    properties = {f.name: _type(hints[f.name], f"{kind.__name__}.{f.name}", definitions) for f in fields}
    return {"type": "object", "description": _description(kind), "properties": properties, "required": required}


def _for_people(part: Any) -> Any:
    if isinstance(part, list):
        return [_for_people(item) for item in part if item != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    found = {key: _for_people(value) for key, value in part.items()}
    options = found.get("anyOf")
    if isinstance(options, list) and len(options) == 1:
        return options[0]
    return {**found, "additionalProperties": False} if "properties" in found else found


def _description(kind: type[Any]) -> str:
    """The docstring as one text; roles and double backquotes are of Python's pages, not of JSON's."""
    text = " ".join((inspect.getdoc(kind) or "").split())
    return re.sub(r":\w+:`~?([^`]+)`", r"\1", text).replace("``", "`")


def _type(hint: Any, where: str, definitions: dict[str, object]) -> dict[str, object]:
    if hint is Any or hint is object:
        return {}
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        name = hint.__name__
        if name not in definitions:
            definitions[name] = {}  # a type that holds itself ends here
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(option, where, definitions) for option in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(args[1], where, definitions)}
    if origin is list or (origin is tuple and args[-1] is Ellipsis):
        return {"type": "array", "items": _type(args[0], where, definitions)}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_type(item, where, definitions) for item in args], "items": False}
    raise TypeError(f"{where}: {hint!r} has no counterpart in JSON")
