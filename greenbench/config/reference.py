"""Every key of a suite with its type and default, as Markdown: written from the sections themselves."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any, get_args, get_type_hints

from greenbench.config.suite import Suite

_HEAD = """# Every key of a suite

What `greenbench suites --keys` prints. A key may stand in a suite file or on the command line, as
`-o section.key=value`; the resolved suite is written into the run folder.
"""


def suite_reference() -> str:
    """One table a section, below what the section's docstring says about its keys."""
    parts = [_HEAD]
    for field in dataclasses.fields(Suite):
        kind = get_type_hints(Suite)[field.name]
        if dataclasses.is_dataclass(kind):
            parts.append(_section(field.name, kind))
    parts.append(
        "## [models.LABEL]\n\nOptions laid over the card of one model; `greenbench models NAME` shows what the card "
        "holds. Keys of a recipe change the recipe, `size` the size, a table `train` what this arm's `[train]` has "
        "other than the suite's.\n"
    )
    return "\n".join(parts)


def _section(name: str, kind: Any) -> str:
    rows = [f"## [{name}]\n", (inspect.getdoc(kind) or "").strip() + "\n", "| key | type | default |", "|---|---|---|"]
    rows += _rows(kind, "")
    return "\n".join(rows) + "\n"


def _rows(kind: Any, prefix: str) -> list[str]:
    hints = get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and hint is not kind:
            rows += _rows(hint, f"{prefix}{field.name}.")
            continue
        rows.append(f"| `{prefix}{field.name}` | {_type_name(hint)} | {_default(field)} |")
    return rows


def _type_name(hint: Any) -> str:
    optional = [option for option in get_args(hint) if option is not type(None)]
    if len(optional) == 1 and len(get_args(hint)) == 2:
        return f"{_type_name(optional[0])} or nothing"
    text = hint.__name__ if isinstance(hint, type) else str(hint)
    text = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list of \1", text)
    return text.replace("typing.Literal", "").strip("[]").replace("'", "`")


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "needed"
    if value is None or value in ("", ()):
        return ""
    return f"`{list(value) if isinstance(value, tuple) else value}`"
