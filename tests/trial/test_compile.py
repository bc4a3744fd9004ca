"""Compiling is a phase of a real run, and the budget pays for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiling_is_a_phase_that_the_budget_counts(
    tmp_path: Path,
    command: Callable[..., list[str]],
    greenbench: Callable[[list[str]], subprocess.CompletedProcess[str]],
) -> None:
    done = greenbench(command(tmp_path, "train.compile=true", "train.dtype=float32", "budget.steps=3"))
    assert done.returncode == 0, done.stderr
    result = json.loads(next(tmp_path.glob("*/result.json")).read_text())
    phases = {p["phase"]: p for p in result["phases"]}
    assert phases["compile"]["budgeted"]
    assert phases["compile"]["duration_s"] > 1.0
    assert phases["compile"]["end_ns"] <= phases["pretrain"]["begin_ns"]
    counted = sum(p["duration_s"] for p in result["phases"] if p["budgeted"])
    apart = sum(p["duration_s"] for p in result["phases"] if p["phase"] == "checkpoint")
    assert result["budget"]["spent"]["seconds"] == pytest.approx(counted - apart, abs=1.0)
    assert result["row"]["steps"] == 3
