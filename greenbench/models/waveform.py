"""What the models that read the waveform share: normalised input, and losses in full precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def normalise(waveform: Tensor) -> Tensor:
    """Scale each waveform (B, S) to zero mean and unit variance, as the published feature extractors do."""
    mean = waveform.mean(dim=-1, keepdim=True)
    return (waveform - mean) / (waveform.var(dim=-1, keepdim=True, unbiased=False) + 1e-7).sqrt()


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the tensor's device, for a loss whose small differences must survive."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
