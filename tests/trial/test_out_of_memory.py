"""A trial that runs out of memory fails with its peak and the batch that would fit, and the suite goes on."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MODELS = '''
import torch

from greenbench.models.eco import Eco


class Greedy(Eco):
    """Asks for more memory than any machine has: torch's own allocator refuses it."""

    def loss(self, batch, info):
        if info.step == 3:
            torch.empty(1 << 55)
        return super().loss(batch, info)


class OnACard(Eco):
    """Meets what torch raises for a card."""

    def loss(self, batch, info):
        if info.step == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB.\\nGPU 0 has a total ...")
        return super().loss(batch, info)


class InProbes(Eco):
    def hidden_states(self, batch):
        if not self.training and getattr(self, "trained", False):
            raise MemoryError
        return super().hidden_states(batch)

    def after_step(self, info):
        self.trained = True
'''


@pytest.mark.slow
def test_out_of_memory_fails_the_trial_with_what_would_fit_and_the_next_one_runs(
    command: Callable[..., list[str]],
    greenbench: Callable[[list[str]], subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    names = {"greedy": "Greedy", "card": "OnACard", "probes": "InProbes"}
    arms = [f"{label}={tmp_path / 'models.py'}:{kind}" for label, kind in names.items()]
    small = [f"models.{label}.encoder.{key}" for label in (*names, "eco") for key in ("width=32", "pattern=ca")]
    out = tmp_path / "run"
    suite = ["suite.models=" + ",".join([*arms, "eco"]), "budget.steps=6", "evaluate.tasks=characters", *small]
    done = greenbench(command(out, *suite, model="eco", report=True))
    assert done.returncode == 4, done.stderr
    results = {path.parent.name.partition("-s0")[0]: json.loads(path.read_text()) for path in out.glob("*/result.json")}
    assert {label: found["status"] for label, found in results.items()} == {
        **dict.fromkeys(names, "failed"),
        "eco": "ok",
    }
    for label in ("greedy", "card"):
        error = results[label]["error"]
        assert error.startswith("out of memory in pretrain: peak ")
        assert "; [train] batch_seconds = 2 would fit by the count, in place of 4 (grad_accumulation = 2" in error
        assert "\n" not in error
        assert f"{label}-s0" in done.stderr
    assert "evaluate.max_train_seconds" in results["probes"]["error"]
    assert all(found["row"]["peak_memory_bytes"] > 0 for found in results.values())
    with (out / "report" / "results.csv").open(encoding="utf-8") as file:
        assert {row["model"]: row["status"] for row in csv.DictReader(file)}["eco"] == "ok"
