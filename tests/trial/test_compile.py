"""Compiling is a phase of a real run, and the budget pays for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Small, because it is compiled: a real encoder takes a minute of CPU time.
MODEL = """
from torch import nn

from greenbench.features.spec import LOGMEL_80
from greenbench.models.base import Upstream


class Line(Upstream):
    frame_hz = 100.0
    feature_spec = LOGMEL_80

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(80, 80)

    def loss(self, batch, info):
        return (self.map(batch.features[:, :-1]) - batch.features[:, 1:]).square().mean(), {}

    def hidden_states(self, batch):
        return [self.map(batch.features)]
"""


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_compiling_is_a_phase_that_the_budget_counts(
    tmp_path: Path,
    command: Callable[..., list[str]],
    greenbench: Callable[[list[str]], subprocess.CompletedProcess[str]],
) -> None:
    (tmp_path / "line.py").write_text(MODEL)
    out = tmp_path / "run"
    settings = ("train.compile=true", "train.dtype=float32", "budget.steps=3", "evaluate.tasks=effective_rank")
    done = greenbench(command(out, *settings, model=f"{tmp_path / 'line.py'}:Line"))
    assert done.returncode == 0, done.stderr
    result = json.loads(next(out.glob("*/result.json")).read_text())
    phases = {p["phase"]: p for p in result["phases"]}
    assert phases["compile"]["budgeted"]
    assert phases["compile"]["duration_s"] > 0.1
    assert phases["compile"]["end_ns"] <= phases["pretrain"]["begin_ns"]
    counted = sum(p["duration_s"] for p in result["phases"] if p["budgeted"])
    apart = sum(p["duration_s"] for p in result["phases"] if p["phase"] == "checkpoint")
    assert result["budget"]["spent"]["seconds"] == pytest.approx(counted - apart, abs=1.0)
    assert result["row"]["steps"] == 3
