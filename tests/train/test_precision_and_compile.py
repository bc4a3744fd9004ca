"""float16 scales its loss, batches accumulate to one gradient, compiling changes time and nothing else."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from greenbench.budget import Ledger
from greenbench.cards import Recipe
from greenbench.config import BudgetSection, TrainSection
from greenbench.errors import DeviceError
from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.compiling import compile_ahead
from greenbench.train.loop import Pretraining
from tests.train.test_switches import make


class Noise:
    """Batches of noise features: the same at the same position. Crop ``n`` of an epoch is the ``n``-th drawn."""

    def __init__(self, crops: int, seconds: int = 1, dim: int = 80) -> None:
        self.crops, self.seconds, self.dim, self.index = crops, seconds, dim, 0

    @property
    def position(self) -> tuple[int, int]:
        return 0, self.index

    def seek(self, _epoch: int, index: int) -> None:
        self.index = index

    def peek(self) -> tuple[int, int]:
        return self.crops, 16_000 * self.seconds

    def __next__(self) -> Batch:
        first = self.index * self.crops
        self.index += 1
        rows = [
            torch.randn(100 * self.seconds, self.dim, generator=torch.Generator().manual_seed(first + n))
            for n in range(self.crops)
        ]
        places = np.zeros(self.crops, int)
        return Batch(None, torch.stack(rows), 16_000 * self.seconds, places, places)


class Silent:
    """A journal that writes nothing."""

    def write(self, **_: Any) -> None:
        return


def training(
    folder: Path,
    *,
    model: Upstream | None = None,
    loader: Noise | None = None,
    steps: int = 6,
    dtype: str = "float32",
    kind: type[Pretraining] = Pretraining,
    stop_after: int = 99,
    carried: Any = None,
    **settings: Any,
) -> Pretraining:
    torch.manual_seed(0)
    run = kind(
        model or make(),
        loader or Noise(2),
        Ledger(BudgetSection(steps=steps), carried=carried),
        Recipe(learning_rate=1e-3),
        TrainSection(log_seconds=1e-9, **settings),
        seed=0,
        device=torch.device("cpu"),
        dtype=dtype,
        flops_of_batch=lambda crops, samples: float(crops * samples),
        journal=Silent(),
        checkpoints=CheckpointStore(folder),
        stop_requested=lambda: run.state.step >= stop_after,
        checkpoint_phase=lambda _reason: nullcontext(),
    )
    return run


def losses(run: Pretraining) -> list[float]:
    with run.ledger.phase("pretrain"):
        run.run()
    return list(run.state.losses)


# -- float16 ---------------------------------------------------------------------------------------------------------


def test_float16_trains_on_the_cpu_with_finite_losses_and_halves_its_scale_on_overflow(tmp_path: Path) -> None:
    run = training(tmp_path, dtype="float16", steps=30)
    before = [p.detach().clone() for p in run.model.parameters()]
    begun = run.scaler.get_scale()
    found = losses(run)
    assert begun == 65_536
    assert all(np.isfinite(found))
    assert run.scaler.get_scale() <= begun
    assert all(torch.isfinite(p).all() for p in run.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    assert np.mean(found[-5:]) < np.mean(found[:5])


def test_the_gradients_of_float16_are_those_of_float32_but_for_rounding(tmp_path: Path) -> None:
    found = {d: gradients(tmp_path / d, Noise(2), make(), dtype=d, scale=2.0**8) for d in ("float32", "float16")}
    for name, wanted in found["float32"].items():
        torch.testing.assert_close(found["float16"][name], wanted, rtol=0.1, atol=0.02 * float(wanted.abs().max()))


def test_the_loss_scale_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    whole = training(tmp_path / "a", dtype="float16", steps=12)
    whole.scaler.set_growth_interval(4)
    expected = losses(whole)
    half = training(tmp_path / "b", dtype="float16", steps=12, stop_after=6)
    half.scaler.set_growth_interval(4)
    losses(half)  # a stop writes a checkpoint
    tensors, state = half.checkpoints.latest() or ({}, {})
    assert state["step"] == 6
    again = training(tmp_path / "b", dtype="float16", steps=12, carried=state["ledger"])
    again.restore(tensors, state)
    assert again.scaler.state_dict() == half.scaler.state_dict()
    assert again.scaler.get_scale() != 65_536
    assert losses(again) == expected
    assert again.scaler.state_dict() == whole.scaler.state_dict()


# -- gradient accumulation -------------------------------------------------------------------------------------------


class Watched(Pretraining):
    """Keeps the gradients of an update instead of making it."""

    def _update(self, _factor: float) -> None:
        for optimizer in self.optimizer.optimizers if self.scaler.is_enabled() else ():
            self.scaler.unscale_(optimizer)
        self.found = {n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None}
        self.optimizer.zero_grad()


def gradients(folder: Path, loader: Noise, model: Upstream, *, scale: float = 0, **settings: Any) -> dict[str, Any]:
    folder.mkdir()
    run = training(folder, model=model, loader=loader, steps=1, kind=Watched, **settings)
    if scale:
        run.scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=run.dtype == "float16")
    losses(run)
    assert isinstance(run, Watched)
    return run.found


def without_chance() -> Upstream:
    """Return eco's encoder under a loss that draws nothing."""
    model = make()

    def loss(batch: Batch, _info: StepInfo) -> tuple[torch.Tensor, dict[str, float]]:
        return torch.stack([state.square().mean() for state in model.hidden_states(batch)]).sum(), {}

    model.loss = loss
    return model


def test_four_batches_of_four_seconds_accumulate_to_the_gradient_of_one_of_sixteen(tmp_path: Path) -> None:
    whole = gradients(tmp_path / "whole", Noise(4, seconds=4), without_chance())
    parts = gradients(tmp_path / "parts", Noise(1, seconds=4), without_chance(), grad_accumulation=4)
    assert whole.keys() == parts.keys()
    assert len(whole) > 10
    for name, wanted in whole.items():
        torch.testing.assert_close(parts[name], wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


# -- torch.compile ---------------------------------------------------------------------------------------------------


def test_compiling_ahead_leaves_randomness_data_and_weights_as_they_were(tmp_path: Path) -> None:
    plain, ahead = (training(tmp_path / name) for name in "ab")
    with ahead.ledger.phase("compile"):
        compile_ahead(ahead)
    assert ahead.ledger.spent()["flops"] == 2 * 16_000
    assert ahead.ledger.phases()["compile"]["seconds"] > 0
    assert ahead.ledger.steps == 0
    assert all(p.grad is None for p in ahead.model.parameters())
    assert losses(ahead) == losses(plain)


def test_a_model_that_cannot_be_compiled_is_named_with_what_to_do(tmp_path: Path) -> None:
    run = training(tmp_path)

    def broken(*_: Any) -> Any:
        from torch._inductor.exc import InvalidCxxCompiler

        raise InvalidCxxCompiler

    run._forward = broken
    with pytest.raises(
        DeviceError, match=r"^\[train\] compile = true: torch.compile failed \(.*; use compile = false$"
    ):
        compile_ahead(run)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_has_the_losses_of_the_eager_one(tmp_path: Path) -> None:
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler")
    found: dict[bool, list[float]] = {}
    for compiled in (False, True):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()  # reset leaves them, and other tests compile too
        torch.manual_seed(0)
        settings = {"compile": compiled, "crop_lengths": 4, "batch_seconds": 2.0}
        run = training(tmp_path / str(compiled), model=make(pattern="ca"), steps=20, **settings)
        if compiled:
            with run.ledger.phase("compile"):
                compile_ahead(run)
        found[compiled] = losses(run)
        assert torch._dynamo.utils.counters["stats"].get("unique_graphs", 0) == compiled
    assert len(found[True]) == 20
    assert found[True] == pytest.approx(found[False], rel=1e-4)


def test_a_batch_whose_shape_does_not_come_again_is_not_compiled_for(tmp_path: Path) -> None:
    run = training(tmp_path, crop_lengths=4, batch_seconds=3.0)
    seen: list[int] = []

    def forward(batch: Batch, info: StepInfo) -> Any:
        seen.append(batch.size)
        return run.model.loss(batch, info)

    run._forward = forward
    for crops, share in ((3, 1.0), (3, 0.5), (2, 1.0)):
        assert torch.isfinite(run.loss_of(next(Noise(crops)), run.step_info(), share=share)[0])
    assert seen == [3]
