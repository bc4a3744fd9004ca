"""A model's training steps outside a trial, made of the parts a trial is made of; shared by the speed benchmarks."""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from greenbench.batches.batch import Batch
from greenbench.cards import resolve
from greenbench.cost.steps import BatchFlops
from greenbench.cost.subject import SAMPLE_RATE, give_targets, make_batch, step_info
from greenbench.models.registry import build
from greenbench.train.optimizer import build_optimizer
from greenbench.train.precision import autocast


@dataclass(frozen=True)
class Stretch:
    """Some steps in a row: their number, seconds of audio, wall time and FLOPs."""

    steps: int
    audio_s: float
    duration_s: float
    flops: float

    @property
    def steps_per_s(self) -> float:
        return self.steps / self.duration_s

    @property
    def audio_s_per_s(self) -> float:
        return self.audio_s / self.duration_s

    @property
    def flops_per_s(self) -> float:
        return self.flops / self.duration_s


class Stepper:
    """Forward, backward, clipping and update of a card at a size, on one batch of quiet noise after the other."""

    def __init__(
        self, name: str, size: str, *, device: torch.device, dtype: str, batch_s: float, crop_s: float
    ) -> None:
        spec = resolve(name, size)
        torch.manual_seed(0)
        self.device, self.dtype, self.grad_clip = device, dtype, spec.recipe.grad_clip
        self.model = build(spec).train()
        give_targets(self.model)
        crops, samples = max(1, round(batch_s / crop_s)), round(crop_s * SAMPLE_RATE)
        self.flops_of = BatchFlops(self.model)
        self.flops = self.flops_of(crops, samples)
        self.model.to(device)
        batch = make_batch(self.model, crops, samples, "cpu")
        moved = {k: v.to(device) for k in ("waveform", "features") if (v := getattr(batch, k)) is not None}
        self.batch: Batch = dataclasses.replace(batch, **moved)
        self.optimizer = build_optimizer(self.model, spec.recipe)
        self.info = step_info()

    def step(self, batch: Batch | None = None) -> None:
        with autocast(self.device, self.dtype):
            loss, _ = self.model.loss(batch or self.batch, self.info)
        loss.backward()
        self.optimizer.step(1.0, grad_clip=self.grad_clip)

    def settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def run(self, seconds: float) -> Stretch:
        """Step for about so long; the device is waited for in blocks, so that its queue never runs dry."""
        self.settle()
        began, steps, block = time.perf_counter(), 0, 1
        while (elapsed := time.perf_counter() - began) < seconds:
            if steps and self.device.type == "cuda":
                block = max(1, min(64, int(0.25 * steps / elapsed)))
            for _ in range(block):
                self.step()
            self.settle()
            steps += block
        duration_s = time.perf_counter() - began
        return Stretch(steps, steps * self.batch.audio_s, duration_s, steps * self.flops)
