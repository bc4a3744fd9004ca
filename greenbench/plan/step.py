"""A model's training step, tried on noise for a moment on this machine's CPU: its speed, and the memory it takes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec
    from greenbench.config import TrainSection
    from greenbench.models.base import Batch, Upstream

LONGEST_STEP_S = 4.0
"""A model whose step is expected to take longer is not tried: planning should take seconds."""
_WARM_UP, _STEPS, _ENOUGH_S = 1, 5, 1.5


@dataclass(frozen=True)
class TriedStep:
    """Seconds of audio trained on per second, and by how much the process grew: model, activations, scratch memory."""

    audio_s_per_s: float
    grown_bytes: int


def try_step(spec: ModelSpec, train: TrainSection) -> TriedStep:
    """Try forward, backward and AdamW on a batch of noise.

    Where training has stages, their steps count by their share of the budget. Reading and cropping audio is left out.
    """
    import psutil
    import torch

    from greenbench.cost.subject import give_targets, make_batch, stage_fractions, untouched_randomness
    from greenbench.models.registry import build

    crops = max(1, round(train.batch_seconds / train.crop_seconds))
    samples = round(train.crop_seconds * SAMPLE_RATE)
    process = psutil.Process()
    before_bytes, threads = process.memory_info().rss, torch.get_num_threads()
    torch.set_num_threads(train.threads or len(os.sched_getaffinity(0)))
    try:
        with untouched_randomness():
            torch.manual_seed(0)
            model = build(spec)
            give_targets(model)
            model.train()
            batch = make_batch(model, crops, samples, "cpu")
            begins = stage_fractions(model)
            shares = [end - begin for begin, end in zip(begins, (*begins[1:], 1.0), strict=True)]
            step_s = sum(share * _step_s(model, batch, begin) for begin, share in zip(begins, shares, strict=True))
    finally:
        torch.set_num_threads(threads)
    # What the allocator keeps after the last step is about what the step took: it gives little back.
    grown_bytes = max(0, process.memory_info().rss - before_bytes)
    return TriedStep(crops * train.crop_seconds / step_s, grown_bytes)


def _step_s(model: Upstream, batch: Batch, fraction: float) -> float:
    import torch

    from greenbench.cost.subject import step_info

    optimizer = torch.optim.AdamW(list(model.pretraining_parameters()), lr=1e-5)
    took_s: list[float] = []
    for number in range(_WARM_UP + _STEPS):
        began = time.perf_counter()
        loss, _ = model.loss(batch, step_info(fraction))
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.after_step(step_info(fraction))
        if number >= _WARM_UP:
            took_s.append(time.perf_counter() - began)
            if sum(took_s) > _ENOUGH_S:
                break
    return median(took_s)
