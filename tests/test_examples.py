"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenbench.records import find_trials

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(folder: Path, *command: object, **environment: str) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": programs, "PYTHONPATH": str(EXAMPLES.parent), **environment}
    done = subprocess.run([*map(str, command)], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_loop_is_metered_and_recorded(tmp_path: Path) -> None:
    printed = run(tmp_path, sys.executable, EXAMPLES / "meter_a_loop.py")
    assert "energy_j" in printed
    (trial,) = find_trials([tmp_path / "runs"])
    assert {phase.phase for phase in trial.phases} == {"train", "evaluate"}
    assert trial.figure("loss") is not None


@pytest.mark.slow
def test_two_scripts_are_compared(tmp_path: Path) -> None:
    printed = run(tmp_path, "bash", EXAMPLES / "compare_two_scripts.sh", RUNS="2")
    assert printed.count("long against short") == 2
    assert len(find_trials([tmp_path / "runs"])) == 4


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file() and f"`{path.name}`" not in listed] == [
        "README.md"
    ]
