"""Convolutions over time on (B, T, D) that a CPU trains quickly: the same values and gradients as ``nn.Conv1d``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution of (B, T, D) whose backward pass is sums of shifted frames.

    With oneDNN's backward kernel the convolution takes longer than the block's matrix products together.
    """

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The convolution with ``weight`` (D, 1, K)."""
        ctx.save_for_backward(frames, weight)
        width, _, kernel = weight.shape
        return F.conv1d(frames.transpose(1, 2), weight, bias, padding=kernel // 2, groups=width).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of frames, weight and bias."""
        frames, weight = ctx.saved_tensors
        kernel, length = weight.shape[2], frames.shape[1]
        gradient = gradients[0].contiguous()
        taps = weight[:, 0].t().contiguous()
        reach = kernel // 2
        around, around_gradient = (F.pad(x, (0, 0, reach, reach)) for x in (frames, gradient))
        into = around_gradient[:, :length] * taps[-1]
        for tap in range(1, kernel):
            into.addcmul_(around_gradient[:, tap : tap + length], taps[-1 - tap])
        onto = torch.stack([(around[:, k : k + length] * gradient).sum((0, 1)) for k in range(kernel)], dim=1)
        return into, onto.unsqueeze(1), gradient.sum((0, 1))


def depthwise(frames: Tensor, conv: nn.Conv1d) -> Tensor:
    """Apply a depthwise ``conv`` of odd kernel, stride 1 and half its kernel as padding to (B, T, D), (B, T, D)."""
    bias = conv.bias
    if frames.device.type != "cpu" or bias is None or not torch.is_grad_enabled():
        return conv(frames.transpose(1, 2)).transpose(1, 2)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else frames.dtype
    return _Depthwise.apply(frames.to(dtype), conv.weight.to(dtype), bias.to(dtype))


def strided(frames: Tensor, conv: nn.Conv1d) -> Tensor:
    """Apply a dense strided ``conv`` with zero padding to (B, T, F) as one matrix product, (B, T', D).

    The windows of a few bands are small, and a product's backward pass costs a third of a convolution's.
    """
    kernel, stride, reach = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
    windows = F.pad(frames, (0, 0, reach, reach)).unfold(1, kernel, stride)
    return F.linear(windows.flatten(2), conv.weight.flatten(1), conv.bias)
