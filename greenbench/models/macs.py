"""Multiply-accumulates of building blocks, written down by hand: the bricks of a model's ``analytic_macs``."""

from __future__ import annotations

from collections.abc import Sequence


def conv_length(length: int, kernel: int, stride: int, padding: int = 0) -> int:
    """The output length of a convolution."""
    return (length + 2 * padding - kernel) // stride + 1


def conv_stack_macs(
    length: int, channels_in: int, channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> tuple[float, int]:
    """MACs of unpadded convolutions in a row, and the last one's length."""
    total = 0.0
    for width, kernel, stride in zip(channels, kernels, strides, strict=True):
        length = conv_length(length, kernel, stride)
        total += float(length) * channels_in * kernel * width
        channels_in = width
    return total, length


def attention_macs(frames: int, width: int) -> float:
    """MACs of multi-head self-attention: four projections, scores and weighted sum."""
    return 4.0 * frames * width * width + 2.0 * frames * frames * width


def feed_forward_macs(frames: int, width: int, inner: int) -> float:
    """MACs of the two layers of a position-wise network."""
    return 2.0 * frames * width * inner


def grouped_conv_macs(frames: int, width: int, kernel: int, groups: int) -> float:
    """MACs of a convolution of ``width`` to ``width`` channels in groups, as for positions."""
    return float(frames) * width * (width // groups) * kernel


def positions_macs(frames: int, width: int, kernel: int, groups: int) -> float:
    """Work out the convolution that gives positions in wav2vec 2.0's encoder.

    The published even kernel (128) is padded on both sides: one frame more is computed, then cut.
    """
    return grouped_conv_macs(frames + 1 - kernel % 2, width, kernel, groups)


def conformer_macs(frames: int, width: int, inner: int, kernel: int) -> float:
    """MACs of a Conformer layer without its positions: attention, two networks, and the convolution module."""
    # Pointwise to twice the width for the gate, depthwise, pointwise.
    convolution = 3.0 * frames * width * width + float(frames) * width * kernel
    return attention_macs(frames, width) + 2.0 * feed_forward_macs(frames, width, inner) + convolution
