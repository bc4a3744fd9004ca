"""Out of memory in mid-trial: what the trial needed at its peak, and what would fit, in the one line it fails with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from greenbench.cost.step_memory import step_memory
from greenbench.errors import GreenbenchError, TrialFailed, is_out_of_memory
from greenbench.trial.booking import Worker
from greenbench.trial.memory import peak_memory_bytes
from greenbench.units import format_bytes

IN_STEPS = ("compile", "pretrain")


@contextmanager
def memory_explained(worker: Worker, device: torch.device) -> Iterator[None]:
    """Let an allocation that fails inside end the trial with its peak and what to change.

    Raises:
        TrialFailed: out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        worker.outcome.peak_memory_bytes = peak_memory_bytes(device)
        raise TrialFailed(_line(worker, device)) from error


def _line(worker: Worker, device: torch.device) -> str:
    room, phase = _room_bytes(device), worker.books.failed_in or "this trial"
    head = f"out of memory in {phase}: peak {format_bytes(worker.outcome.peak_memory_bytes)}, {device} has "
    head += format_bytes(room)
    if phase in IN_STEPS:
        return f"{head}; {_smaller_batch(worker, room)}"
    if phase == "evaluate":
        return f"{head}; lower evaluate.max_train_seconds and evaluate.max_test_seconds; what was trained is kept"
    return f"{head}; free memory there, or choose a smaller model or less data"


def _smaller_batch(worker: Worker, room_bytes: float) -> str:
    train = worker.suite.train
    now = max(1, round(train.batch_seconds / train.crop_seconds))
    other = "activation_checkpointing = true needs less, too"
    crops = _crops_that_fit(worker, room_bytes, now)
    if crops is None and now > 1:
        return f"half of [train] batch_seconds = {train.batch_seconds:g} may fit; {other}"
    if not crops:
        return f"not one crop of [train] crop_seconds = {train.crop_seconds:g} fits: lower it; {other}"
    return (
        f"[train] batch_seconds = {crops * train.crop_seconds:g} would fit by the count, in place of "
        f"{train.batch_seconds:g} (grad_accumulation = {-(-now // crops)} keeps the update's size); {other}"
    )


def _crops_that_fit(worker: Worker, room_bytes: float, now: int) -> int | None:
    """Fewer crops than ``now`` that the count has room for; None where the model cannot be counted."""
    train = worker.suite.train
    try:
        memory = step_memory(worker.spec, crop_seconds=train.crop_seconds, layer_drop=train.layer_drop)
    except (GreenbenchError, MemoryError, RuntimeError):  # the model that has failed may fail again
        return None
    if memory is None:
        return None
    # The batch did not fit: its true need is the whole room at the least, whatever was counted.
    scale = max(1.0, room_bytes / memory.counted_bytes(now))
    return min(now - 1, memory.crops_within(room_bytes, scale=scale))


def _room_bytes(device: torch.device) -> int:
    """What there is for this process: of a card, what others hold is not."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    return int(psutil.virtual_memory().total)
