"""Peak memory of one training step, from the allocator itself.

The resident size of a process says little about a step on the CPU: freed pages linger and the corpus is mapped in.
Here PyTorch's profiler records every allocation and release of its allocator during one step; the highest running
sum is what the step needed on top of what was there before. On CUDA the allocator's own peak counter is read.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import nn


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """The bytes of tensors, shared storage counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def resident_bytes(modules: Iterable[nn.Module], optimizer: torch.optim.Optimizer | None = None) -> int:
    """The bytes of parameters, buffers and optimizer state, which stay between steps."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    if optimizer is not None:
        states = optimizer.state.values()
        tensors += [v for state in states for v in state.values() if isinstance(v, torch.Tensor)]
    return tensor_bytes(tensors)


def peak_extra_bytes(step: Callable[[], None], device: torch.device) -> int:
    """Run ``step`` once and return the most bytes that were allocated on top of what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    # The profiler's C++ part writes a line to stderr at every start and stop unless told otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the profiler's own remarks about its Kineto backend
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            step()
    results = profile.profiler.kineto_results if profile.profiler is not None else None
    if results is None:
        return 0
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    running = peak = 0
    for _, size in changes:
        running += size
        peak = max(peak, running)
    return peak
