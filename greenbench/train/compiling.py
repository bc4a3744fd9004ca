"""Compiling ahead of training, so that its time is a phase of its own in the budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from greenbench.errors import DeviceError
from greenbench.train.loop import Pretraining
from greenbench.train.precision import attention_backend


def compile_ahead(training: Pretraining, *, charged: bool = True) -> None:
    """Run forward and backward on the next batch: ``torch.compile`` works at the first call of either.

    Nothing of it stays: gradients are dropped; randomness, data position and buffers are as before. The ledger is
    charged the batch's FLOPs unless an earlier session has paid. A batch of another shape, such as the last, cut one,
    is compiled when it comes, in the phase pretrain.

    Raises :class:`DeviceError` where there is no compiler or the model cannot be compiled.
    """
    try:
        with _untouched(training), attention_backend(training.settings.sdpa):
            batch = next(training.loader)
            info = training.step_info()
            training.model.train()
            loss, _ = training.loss_of(batch, info)
            loss.backward()
    except _failures() as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DeviceError(f"[train] compile = true: torch.compile failed ({reason}); use compile = false") from error
    if charged:
        training.ledger.charge(flops=training.flops_of_batch(batch.size, batch.num_samples), origin="compile")


@contextmanager
def _untouched(training: Pretraining) -> Iterator[None]:
    place, drawn = training.loader.position, training.generator.get_state()
    numpy_state = np.random.get_state()
    buffers = [(buffer, buffer.detach().clone()) for buffer in training.model.buffers()]
    with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
        yield
    training.optimizer.zero_grad()
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    training.loader.seek(*place)
    training.generator.set_state(drawn)
    np.random.set_state(numpy_state)


def _failures() -> tuple[type[Exception], ...]:
    """What torch raises where a compiler is missing or a model cannot be compiled."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    return TorchDynamoException, CppCompileError, InvalidCxxCompiler
