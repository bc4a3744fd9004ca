"""Hooks for others' trainers: figures in their logs, phases, a stop at a budget, and no process left behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from greenbench.errors import ConfigError
from greenbench.integrations.session import EnergySession, first_of_node
from greenbench.records import find_trials

pytest.importorskip("accelerate", reason="transformers.Trainer needs accelerate (extra 'hf')")


class Line(torch.nn.Module):
    """A line through points, with the loss that a Trainer wants."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The squared error."""
        found = self.map(x)
        return {"loss": ((found - labels) ** 2).mean(), "logits": found}


class Points(torch.utils.data.Dataset[Any]):
    """Points; each takes some processor time, so that there are joules to see."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.taken, self.fail_at = 0, fail_at

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        self.taken += 1
        if self.taken == self.fail_at:
            raise RuntimeError("no such point")
        end = time.process_time() + 0.001
        while time.process_time() < end:
            pass
        x = torch.full((8,), index / 400)
        return {"x": x, "labels": x[:1]}


def trainer(folder: Path, points: Points | None = None, **options: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    settings = {"max_steps": 50, "logging_steps": 10, "eval_steps": 25, "save_steps": 25, "report_to": [], **options}
    settings |= {"eval_strategy": "steps", "use_cpu": True, "disable_tqdm": True, "per_device_train_batch_size": 4}
    arguments = TrainingArguments(output_dir=str(folder / "out"), **settings)
    points = points or Points()
    return Trainer(
        model=Line(), args=arguments, train_dataset=points, eval_dataset=torch.utils.data.Subset(points, range(8))
    )


@pytest.mark.filterwarnings("ignore")
def test_fifty_steps_log_energy_book_phases_and_leave_a_record(tmp_path: Path) -> None:
    from greenbench.integrations.transformers import attach

    made = trainer(tmp_path)
    callback = attach(made, region="FRA", sources="cpu", record=tmp_path / "records", label="line")
    made.train()
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in logged] == [10, 20, 30, 40, 50]
    joules = [entry["energy_j"] for entry in logged]
    assert joules == sorted(joules)
    assert joules[0] > 0
    assert all(entry["co2e_g"] > 0 and entry["power_w"] > 0 for entry in logged)
    (trial,) = find_trials([tmp_path / "records"])
    assert trial.figure("energy_total_j") >= joules[-1] * 0.8
    assert {p.phase for p in trial.phases} == {"train", "evaluate", "save"}
    parts = sum(p.energy_j or 0.0 for p in trial.phases)
    assert parts == pytest.approx(trial.figure("energy_total_j"), rel=0.05)
    assert callback.energy.meter._sampler is None


@pytest.mark.filterwarnings("ignore")
def test_a_budget_stops_the_trainer_by_its_own_way(tmp_path: Path) -> None:
    from greenbench.integrations.transformers import attach

    made = trainer(tmp_path, max_steps=5000)
    callback = attach(made, joules=1.0, sources="cpu")
    made.train()
    assert 0 < made.state.global_step < 5000
    assert callback.energy.stopped_by_budget
    assert callback.energy.meter.joules() >= 1.0 * 0.8
    assert made.state.log_history[-1]["train_runtime"] > 0, "the trainer ended as it always does"


@pytest.mark.filterwarnings("ignore")
def test_an_error_inside_the_training_leaves_no_process(tmp_path: Path) -> None:
    from greenbench.integrations.transformers import attach

    made = trainer(tmp_path, Points(fail_at=30))
    callback = attach(made, sources="cpu", record=tmp_path / "records", label="fails")
    seen = []
    made.model.register_forward_hook(lambda *_: seen.append(callback.energy.meter._sampler.pid))
    with pytest.raises(RuntimeError, match="no such point"):
        made.train()
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
    (trial,) = find_trials([tmp_path / "records"])
    assert (trial.status, trial.error) == ("failed", "RuntimeError: no such point")


@pytest.mark.filterwarnings("ignore")
def test_trackers_of_the_trainer_get_the_figures(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    from greenbench.integrations.transformers import attach

    logged: list[dict[str, Any]] = []

    class Tracker(TrainerCallback):
        def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
            logged.append(dict(logs))

    made = trainer(tmp_path, max_steps=10)
    made.add_callback(Tracker())
    attach(made, sources="cpu")
    made.train()
    assert logged[0]["energy_j"] > 0


def test_a_loop_of_ones_own_stops_at_its_budget() -> None:
    with EnergySession(seconds=0.2, sources="none") as energy:
        taken = 0
        for _ in energy.steps(iter(int, 1)):
            taken += 1
    assert energy.stopped_by_budget
    assert taken > 0


def test_a_node_is_metered_by_its_first_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not first_of_node()
    with EnergySession(joules=1.0) as energy:
        assert energy.meter is None
        assert energy.figures() == {}
        assert not energy.spent()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joules": 1.0, "seconds": 1.0}, "joules and seconds are given; a training has one budget"),
        ({"joules": 0.0}, "budget joules = 0.0: a positive number is needed"),
        ({"grams_co2e": 1.0}, "budget grams_co2e: needs a region"),
    ],
)
def test_a_wrong_budget_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnergySession(**options)


def test_the_session_imports_no_torch() -> None:
    code = "import sys, greenbench.integrations.session\nsys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None, reason="lightning is not installed (extra 'lightning')"
)
def test_lightning_stops_at_its_budget_and_books_phases(tmp_path: Path) -> None:
    import lightning.pytorch as pl

    from greenbench.integrations.lightning import EnergyCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.line = Line()

        def training_step(self, batch: Any, *_: Any) -> torch.Tensor:
            return self.line(**batch)["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    callback = EnergyCallback(joules=1.0, sources="cpu", record=tmp_path / "records", label="line")
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    fit = pl.Trainer(max_steps=5000, accelerator="cpu", callbacks=[callback], default_root_dir=tmp_path, **options)
    fit.fit(Module(), torch.utils.data.DataLoader(Points(), batch_size=4))
    assert 0 < fit.global_step < 5000
    assert callback.energy.stopped_by_budget
    (trial,) = find_trials([tmp_path / "records"])
    assert {p.phase for p in trial.phases} == {"train"}


RANK = """
import os, sys, time, torch
from greenbench.integrations.session import EnergySession
rank = int(os.environ["LOCAL_RANK"])
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
with EnergySession(joules=0.5, sources="cpu") as energy:
    taken = 0
    for _ in energy.steps(iter(int, 1)):
        end = time.process_time() + 0.01
        while time.process_time() < end: pass
        taken += 1
print(taken, energy.meter is not None, energy.stopped_by_budget)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no process groups")
def test_processes_that_train_together_are_metered_once_and_stop_at_one_step(tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path / "group")],
            env={**os.environ, "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    first, second = (process.communicate()[0].split() for process in ranks)
    assert first[0] == second[0] != "0"
    assert (first[1:], second[1:]) == (["True", "True"], ["False", "True"])
