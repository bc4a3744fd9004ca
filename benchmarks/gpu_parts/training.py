"""The package's own training loop on one batch of noise that lies on the device: no loader, no features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from greenbench.batches.batch import Batch
from greenbench.budget import Ledger
from greenbench.cards import resolve
from greenbench.config import BudgetSection, TrainSection
from greenbench.cost.steps import BatchFlops
from greenbench.cost.subject import give_targets, make_batch
from greenbench.models.registry import build
from greenbench.records import Journal
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.loop import Pretraining
from greenbench.units import SAMPLE_RATE


class Resident:
    """The same batch again and again, as the loop asks a loader for batches."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.index = batch, 0

    @property
    def position(self) -> tuple[int, int]:
        return 0, self.index

    def __next__(self) -> Batch:
        self.index += 1
        return self.batch

    def peek(self) -> tuple[int, int]:
        return self.batch.size, self.batch.num_samples

    def seek(self, _epoch: int, index: int) -> None:
        self.index = index


class Training(Pretraining):
    """A training that can be stepped outside of :meth:`run`, and measured over a stretch of it."""

    stop_after = -1

    def step_once(self) -> torch.Tensor:
        """Forward, backward and update; return the loss, which nobody has waited for."""
        loss, _ = self.loss_of(next(self.loader), self.step_info())
        loss.backward()
        self.optimizer.step(1.0, grad_clip=self.recipe.grad_clip)
        self.state.step += 1
        return loss.detach()

    def run_under(self, **budget: float) -> str:
        """Train under a budget of its own, as a trial does."""
        self.ledger = Ledger(BudgetSection(**budget))
        with self.ledger.phase("pretrain"):
            return self.run()

    def compile_with(self, **options: Any) -> None:
        """Compile the loss with other options than the package's."""
        self._forward = torch.compile(self.model.loss, dynamic=False, **options)


def training(
    name: str,
    *,
    size: str,
    device: str,
    dtype: str,
    batch_s: float,
    crop_s: float,
    folder: Path,
    architecture: Mapping[str, Any] | None = None,
    carried: Any = None,
    steps: int = 1000,
    **settings: Any,
) -> Training:
    """A card's training from fresh weights; the same arguments give the same losses."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    spec = resolve(name, size, architecture or {})
    model = build(spec)
    give_targets(model)
    flops = BatchFlops(model)
    flops.prepare()
    model.to(device)
    folder.mkdir(parents=True, exist_ok=True)
    run = Training(
        model,
        Resident(noise(model, batch_s, crop_s, device)),
        Ledger(BudgetSection(steps=steps), carried=carried),
        spec.recipe,
        TrainSection(batch_seconds=batch_s, crop_seconds=crop_s, crop_lengths=4, checkpoint_seconds=1e9, **settings),
        seed=0,
        device=torch.device(device),
        dtype=dtype,
        flops_of_batch=flops,
        journal=Journal(folder / "metrics.jsonl"),
        checkpoints=CheckpointStore(folder),
        stop_requested=lambda: run.state.step == run.stop_after,
        checkpoint_phase=lambda _reason: nullcontext(),
    )
    run.model.train()
    return run


def noise(model: Any, batch_s: float, crop_s: float, device: str) -> Batch:
    """A batch of quiet noise on the device, the same each time."""
    crops = max(1, round(batch_s / crop_s))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        batch = make_batch(model, crops, round(crop_s * SAMPLE_RATE), "cpu")
    values = {k: v.to(device) for k in ("waveform", "features") if (v := getattr(batch, k)) is not None}
    return dataclasses.replace(batch, **values, origins=torch.zeros(crops, 2, dtype=torch.int64, device=device))


def wait_for(device: str) -> None:
    """Wait until a card has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
