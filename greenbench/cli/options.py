"""Options that several verbs share, and how JSON goes to stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Override = Annotated[
    list[str] | None, typer.Option("-o", "--override", metavar="SECTION.KEY=VALUE", help="Override a key; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write.")]
SuiteName = Annotated[str, typer.Argument(metavar="[SUITE]", help="A built-in suite or a TOML file.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Run folders, or trial folders in them.")]
Region = Annotated[
    str | None, typer.Option("--region", help="ISO country code, USA-STATE or cloud:region, for emissions.")
]


def emit(value: Any) -> None:
    """Print JSON to stdout; what is not a finite number is null."""
    print(json.dumps(_plain(value), indent=1, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
