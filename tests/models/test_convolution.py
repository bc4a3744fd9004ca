"""Quick convolutions give the values and gradients of torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from greenbench.models.convolution import depthwise, strided


def gradients(found: Tensor, wanted: Tensor, inputs: list[Tensor], seed: int) -> list[tuple[Tensor, Tensor]]:
    direction = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(seed), dtype=wanted.dtype)
    pairs = zip(*(torch.autograd.grad(value, inputs, direction) for value in (found, wanted)), strict=True)
    return [*pairs, (found, wanted)]


def frames_of(rows: int, length: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, length, width, generator=generator, dtype=torch.float64).requires_grad_()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.sampled_from([1, 3, 5, 7]), st.integers(0, 9))
def test_depthwise_has_the_values_and_gradients_of_conv1d(
    rows: int, length: int, width: int, kernel: int, seed: int
) -> None:
    conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width).double()
    frames = frames_of(rows, length, width, seed)
    found, wanted = depthwise(frames, conv), conv(frames.transpose(1, 2)).transpose(1, 2)
    for ours, torchs in gradients(found, wanted, [frames, *conv.parameters()], seed):
        torch.testing.assert_close(ours, torchs)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.sampled_from([1, 2, 3]), st.integers(0, 9))
def test_strided_has_the_values_and_gradients_of_conv1d(
    rows: int, length: int, width: int, stride: int, seed: int
) -> None:
    conv = nn.Conv1d(width, 4, 5, stride=stride, padding=2).double()
    frames = frames_of(rows, length, width, seed)
    found, wanted = strided(frames, conv), conv(frames.transpose(1, 2)).transpose(1, 2)
    for ours, torchs in gradients(found, wanted, [frames, *conv.parameters()], seed):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("grad", [True, False])
def test_depthwise_follows_autocast_as_conv1d_does(grad: bool) -> None:
    conv = nn.Conv1d(8, 8, 5, padding=2, groups=8)
    frames = torch.randn(2, 11, 8)
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        found, wanted = depthwise(frames, conv), conv(frames.transpose(1, 2)).transpose(1, 2)
    assert found.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted)
