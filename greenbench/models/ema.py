"""Teachers that follow their student as an exponential moving average."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


def make_teacher(student: nn.Module) -> nn.Module:
    """A copy that receives no gradients and applies no dropout."""
    teacher = copy.deepcopy(student).eval()
    return teacher.requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the teacher: ``teacher = decay * teacher + (1 - decay) * student``; buffers are copied."""
    theirs = [p.detach() for p in student.parameters()]
    torch._foreach_lerp_([p.detach() for p in teacher.parameters()], theirs, 1.0 - decay)
    for kept, current in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(current)


def linear_decay(fraction: float, start: float, end: float, *, by: float = 1.0) -> float:
    """The decay at a fraction of the budget, from ``start`` linearly to ``end``, reached at fraction ``by``."""
    return start + (end - start) * min(1.0, fraction / by)


def cosine_decay(fraction: float, start: float, end: float = 1.0) -> float:
    """The decay at a fraction of the budget, from ``start`` to ``end`` along half a cosine."""
    return end - (end - start) * (math.cos(math.pi * fraction) + 1) / 2
