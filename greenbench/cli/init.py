"""``greenbench init``: a suite of one's own to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The suite to write.")] = Path("suite.toml"),
    *,
    like: Annotated[str, typer.Option("--like", metavar="SUITE", help="The built-in suite to start from.")] = (
        "quickstart"
    ),
) -> None:
    """Write a commented suite to start your own from, and a JSON Schema by which editors check it."""
    from greenbench.config import builtin_suites
    from greenbench.config.starter import starter_suite
    from greenbench.errors import ConfigError, OutputError, did_you_mean
    from greenbench.schema import read_toml
    from greenbench.schemas import SUITE_SCHEMA, suite_schema_text

    known = builtin_suites()
    if like not in known:
        raise ConfigError(f"--like {like!r}: no such suite is built in{did_you_mean(like, known)}")
    if file.suffix != ".toml":
        raise ConfigError(f"init {file}: a suite's file ends in .toml; give {file.with_suffix('.toml')}")
    if file.exists():
        raise OutputError(f"init {file}: is there already; give another name")
    schema, schema_text = file.with_name(SUITE_SCHEMA), suite_schema_text()
    if schema.exists() and schema.read_text(encoding="utf-8") != schema_text:
        raise OutputError(f"init {file}: {schema} is there already and not of this version; move it away")
    text = starter_suite(file.name, file.stem, read_toml(known[like]), f"./{SUITE_SCHEMA}")
    file.parent.mkdir(parents=True, exist_ok=True)
    schema.write_text(schema_text, encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    print(f"wrote {file}, and {schema} by which editors check it")
    print(f"greenbench plan {file} says what it takes here; greenbench run {file} runs it")
