"""Every block of code on the pages runs as it stands, or says above it why not."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from greenbench.check.budgets import load_budgets
from greenbench.config import load_suite
from greenbench.corpora.load import load_corpus
from greenbench.records import find_trials
from greenbench.schema import format_toml
from tests.docs.desk import lay_out, readers_code
from tests.docs.pages import Block, all_blocks, commands
from tests.docs.typing_them import type_line, would_run
from tests.tones import REPOSITORY

BLOCKS = all_blocks()
LANGUAGES = {"sh", "console", "python", "toml", "json", "text"}
REASONS_NOT_TO_RUN = {"it makes the environment that this test runs in", "it runs the tests, of which this is one"}
Captured = pytest.CaptureFixture[str]


def blocks(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.not_run]


def each(*languages: str) -> pytest.MarkDecorator:
    chosen = blocks(*languages)
    return pytest.mark.parametrize("block", chosen, ids=[block.place for block in chosen])


@pytest.fixture
def desk(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where the reader of a block stands."""
    lay_out(tmp_path, block, BLOCKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)  # what runs this test may be a worker of xdist; what it starts is none
    return tmp_path


def test_every_block_says_its_language_and_no_unknown_reason_keeps_one_from_running() -> None:
    assert {block.place: block.language for block in BLOCKS if block.language not in LANGUAGES} == {}
    reasons = {block.place: block.not_run for block in BLOCKS if block.not_run}
    assert {place: reason for place, reason in reasons.items() if reason not in REASONS_NOT_TO_RUN} == {}


def test_the_blocks_are_found() -> None:
    found = {block.page for block in BLOCKS}
    assert {"README.md", "CONTRIBUTING.md", "docs/metering.md", "docs/own-model.md"} <= found
    assert min(len(blocks(language)) for language in ("sh", "console", "python", "toml", "json")) > 0


@pytest.mark.slow
@each("sh", "console")
def test_commands_do_what_the_page_says(block: Block, desk: Path, capfd: Captured) -> None:
    typed = commands(block)
    assert typed
    as_printed = doctest.OutputChecker()
    rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for command in typed:
        printed = type_line(command.text, capfd)
        if command.printed:
            assert as_printed.check_output(command.printed, printed, rules), printed


@pytest.mark.slow
@each("python")
def test_programs_run(block: Block, desk: Path) -> None:
    imported = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in imported:
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        if importlib.util.find_spec(str(module).partition(".")[0]) is None:
            pytest.skip(f"{module} is not installed")
    program = desk / "test_program.py"
    program.write_text(readers_code(block.text) + block.text, encoding="utf-8")
    command = [sys.executable, str(program)]
    if "mark.energy_budget" in block.text:
        options = ["-p", "greenbench.pytest_plugin", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(desk)]
        command = [sys.executable, "-m", "pytest", *options, str(program)]
    elif "GREENBENCH_METRICS_FD" in block.text:
        options = ["--record", "runs", "--metric", "accuracy=higher"]
        command = [sys.executable, "-m", "greenbench", "measure", *options, "--", *command]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if "GREENBENCH_METRICS_FD" in block.text:
        assert [trial.figure("accuracy") for trial in find_trials([desk / "runs"])] == [0.93]


@pytest.mark.slow
@each("toml")
def test_suites_and_budgets_are_accepted(block: Block, desk: Path) -> None:
    table = tomllib.loads(block.text)
    path = desk / "block.toml"
    if "gate" in table:
        path.write_text(block.text, encoding="utf-8")
        assert load_budgets(path).budgets
        return
    # A part of a suite: its models are those whose options it holds, its budget any.
    table.setdefault("suite", {}).setdefault("models", list(table.get("models", ["eco"])))
    table.setdefault("budget", {"seconds": 1})
    path.write_text(format_toml(table), encoding="utf-8")
    would_run(load_suite(str(path)))


@pytest.mark.slow
@each("json")
def test_manifests_are_read(block: Block, desk: Path) -> None:
    (desk / "manifest.jsonl").write_text(block.text, encoding="utf-8")
    corpus = load_corpus("manifest:manifest.jsonl")
    assert not corpus.left_out
    assert sum(map(len, corpus.splits.values())) >= len(block.text.splitlines())
