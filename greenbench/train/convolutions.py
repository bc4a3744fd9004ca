"""Convolutions that a CPU computes wrongly in a short number format, found by trying and put right.

oneDNN 3.12 (torch 2.13) on CPUs with AMX gives noise for bfloat16 convolutions with fewer than 16 channels a group and
an even number of taps, as wav2vec 2.0's convolution for positions has at small widths. With one tap of zeros more the
kernel is right, and fast where float32 is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.models.wrap import wrap_layers
from greenbench.train.precision import DTYPES

TOLERANCE = 0.05
"""Of the largest value. bfloat16 rounds to 0.4 %; what is wrong is off by 100 %."""


def correct_convolutions(model: nn.Module, device: torch.device, dtype: str) -> list[str]:
    """Let the convolutions that ``device`` gets wrong in ``dtype`` run with another kernel; return their names.

    Each shape is tried once on noise against float32. Parameters, gradients and counted FLOPs stay what they were.
    """
    if device.type != "cpu" or dtype == "float32":
        return []
    verdicts: dict[tuple[object, ...], bool] = {}
    wrong: list[str] = []
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Conv1d) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            continue
        shape = (layer.in_channels, layer.out_channels, layer.groups, layer.kernel_size, layer.stride, layer.dilation)
        if shape not in verdicts:
            verdicts[shape] = is_wrong(layer, DTYPES[dtype])
        if verdicts[shape]:
            wrap_layers([layer], _corrected)
            wrong.append(name)
    return wrong


def is_wrong(layer: nn.Conv1d, dtype: torch.dtype) -> bool:
    """Tell whether a convolution of this shape, with weights of its own, is far from float32 on noise."""
    draw = torch.Generator().manual_seed(0)
    frames = torch.randn(2, layer.in_channels, 2 * _reach(layer), generator=draw)
    weight = torch.randn(layer.weight.shape, generator=draw)
    options: dict[str, Any] = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        expected = F.conv1d(frames, weight, **options)
        found = F.conv1d(frames.to(dtype), weight.to(dtype), **options).float()
    return bool((found - expected).abs().max() > TOLERANCE * expected.abs().max())


def _reach(layer: nn.Conv1d) -> int:
    return layer.dilation[0] * (layer.kernel_size[0] - 1) + 1 + layer.stride[0]


def one_tap_more(layer: nn.Conv1d, frames: Tensor) -> Tensor:
    """Convolve (B, C, T) as ``layer`` does, with a last tap of zeros and as many zeros more behind the frames."""
    before = int(layer.padding[0])
    padded = F.pad(frames, (before, before + layer.dilation[0]))
    weight = F.pad(layer.weight, (0, 1))
    return F.conv1d(padded, weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


def _corrected(layer: nn.Conv1d, forward: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    # Float32 is right as it is, and counting on shapes must see the layer's own operations.
    in_short_format = frames.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return one_tap_more(layer, frames) if in_short_format else forward(frames)
