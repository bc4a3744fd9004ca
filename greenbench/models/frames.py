"""Frames of a rate put together to frames of a lower one."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Frames = TypeVar("Frames", np.ndarray, Tensor)


def stack_frames(frames: Frames, count: int) -> Frames:
    """Put ``count`` neighbouring frames side by side, (…, T, F) -> (…, T // count, count F); a rest is dropped."""
    *lead, length, width = frames.shape
    whole = length // count
    return frames[..., : whole * count, :].reshape(*lead, whole, count * width)
