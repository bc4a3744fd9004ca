"""Typing the commands of the pages: what trains is checked as ``greenbench run`` checks it, all else runs."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from typing import Any

import pytest
import typer.main

from greenbench.carbon import find_grid
from greenbench.cli.app import ClickException, app, main
from greenbench.cli.run import seeds_override
from greenbench.config import Suite, load_suite
from greenbench.corpora.apart import load_both
from greenbench.plan import expand
from greenbench.preflight import check_labels, check_memory, check_trials, unscorable
from tests.tones import REPOSITORY

_PARSER: Any = typer.main.get_command(app)
VERBS = set(_PARSER.commands)
TRAINING = ("run", "curve")
"""The verbs that train, which takes minutes: of these, what they refuse beforehand is checked."""


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The verb and what the command line's own parser makes of its options.

    Raises:
        AssertionError: the parser refuses them.
    """
    command, rest, verb = _PARSER, arguments, ""
    context = command.make_context("greenbench", list(arguments))
    try:
        while hasattr(command, "commands") and rest:
            verb, command, rest = command.resolve_command(context, rest)
            context = command.make_context(verb, list(rest), parent=context)
    except ClickException as error:
        raise AssertionError(f"greenbench {shlex.join(arguments)}: {error}") from error
    return verb, dict(context.params)


def would_run(suite: Suite) -> None:
    """All that ``greenbench run`` refuses before it trains, and labels that at least one task can be scored on."""
    plans = expand(suite)
    find_grid(suite.carbon)
    check_trials(suite, plans)
    corpus, scored = load_both(suite.suite.data, suite.evaluate.data)
    check_memory(plans, corpus)
    check_labels(suite.evaluate, scored)
    assert unscorable(suite.evaluate, scored) is None
    assert plans


def type_greenbench(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Type a command of greenbench; return what it prints."""
    verb, options = parse(arguments)
    if verb in TRAINING:
        would_run(load_suite(options["suite"], [*(options["override"] or ()), *seeds_override(options["seeds"])]))
        return ""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capfd.readouterr()
    open_check = verb == "check" and ended.value.code == 3  # not decidable: what two runs come to
    assert ended.value.code == 0 or open_check, f"greenbench {shlex.join(arguments)}: {printed.err}{printed.out}"
    return printed.out


def type_pip(arguments: list[str]) -> None:
    """Check what ``pip install`` names: files that are there, extras that the package has."""
    assert arguments[0] == "install"
    if "-c" in arguments:
        assert (REPOSITORY / arguments[arguments.index("-c") + 1]).is_file()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    known = set(project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["extras"])
    wanted = arguments[-1].partition("[")[2].rstrip("]")
    assert {extra for extra in wanted.split(",") if extra} <= known


def type_line(line: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Type one line, command by command where ``&&`` joins several; return what the last of greenbench prints."""
    printed = ""
    for command in line.split(" && "):
        words = shlex.split(command, comments=True)
        if words[:1] == ["greenbench"]:
            printed = type_greenbench(words[1:], capfd)
        elif words[:1] == ["pip"]:
            type_pip(words[1:])
        elif words:
            subprocess.run(["bash", "-euc", command], check=True)
    return printed
