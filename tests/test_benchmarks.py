"""The scripts of benchmarks/ keep up with the package: every name they import from this repository is there."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

from tests.tones import REPOSITORY

SCRIPTS = sorted((REPOSITORY / "benchmarks").rglob("*.py"))


def imports(path: Path) -> list[tuple[str, str]]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").partition(".")[0] in ("greenbench", "benchmarks", "tests")]
    return [(str(node.module), alias.name) for node in ours for alias in node.names]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_benchmark_imports_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(REPOSITORY), *sys.path])
    for module, name in imports(path):
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
