"""Convolutions in bfloat16 are near float32 on whatever CPU runs this; the other kernel is the same convolution."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from greenbench.cards import card_names, load_card, resolve
from greenbench.cost.steps import BatchFlops
from greenbench.models.base import Batch
from greenbench.models.registry import build
from greenbench.train.convolutions import correct_convolutions, is_wrong, one_tap_more

CPU = torch.device("cpu")
TRAINED = [name for name in card_names() if load_card(name).card.trains]


def forward_and_gradients(layer: nn.Module, frames: torch.Tensor) -> list[torch.Tensor]:
    layer.zero_grad()
    frames = frames.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(frames)
    direction = torch.linspace(-1, 1, output.numel()).view(output.shape)
    (output.float() * direction).sum().backward()
    assert frames.grad is not None
    return [output.float(), frames.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.parametrize("name", TRAINED)
def test_every_convolution_of_a_corrected_model_is_near_float32_forward_and_backward(name: str) -> None:
    torch.manual_seed(0)
    model = build(resolve(name, "tiny")).eval()
    plain = copy.deepcopy(model)
    correct_convolutions(model, CPU, "bfloat16")
    seen = set()
    for (path, layer), (_, reference) in zip(model.named_modules(), plain.named_modules(), strict=True):
        if not isinstance(layer, nn.Conv1d) or repr(layer) in seen:
            continue
        seen.add(repr(layer))
        frames = torch.randn(2, layer.in_channels, 90)
        found = forward_and_gradients(layer, frames)
        wanted = forward_and_gradients(reference.double(), frames.double())
        for ours, true in zip(found, wanted, strict=True):
            assert (ours - true).abs().max() < 0.03 * true.abs().max(), path


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 64, "padding": 32, "groups": 3},
        {"kernel_size": 8, "stride": 3, "padding": 1},
        {"kernel_size": 6, "stride": 2, "dilation": 2, "padding": 5, "groups": 2, "bias": False},
    ],
)
def test_one_tap_more_is_the_same_convolution(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv1d(12, 6, **options).double()
    for length in (70, 71, 72):
        frames = torch.randn(2, 12, length, dtype=torch.float64)
        torch.testing.assert_close(one_tap_more(layer, frames), layer(frames))


class NoisyKernel(TorchFunctionMode):
    """A CPU whose bfloat16 convolution is as wrong as oneDNN's with AMX."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        wrong = func is torch.conv1d and output.dtype == torch.bfloat16
        return torch.randn_like(output) if wrong else output


def test_a_kernel_that_gives_noise_is_noticed() -> None:
    layer = nn.Conv1d(32, 32, 3)
    assert not is_wrong(layer, torch.bfloat16)
    with NoisyKernel():
        assert is_wrong(layer, torch.bfloat16)
        model = build(resolve("melhubert", "tiny"))
        assert correct_convolutions(model, CPU, "bfloat16") == ["encoder.pos_conv_embed.conv"]


def test_float32_and_other_devices_are_left_alone() -> None:
    model = build(resolve("melhubert", "tiny"))
    assert correct_convolutions(model, CPU, "float32") == []
    assert correct_convolutions(model, torch.device("cuda"), "bfloat16") == []
    assert "forward" not in vars(model.encoder.pos_conv_embed.conv)


def test_a_corrected_model_counts_the_same_flops_and_keeps_its_names() -> None:
    model = build(resolve("melhubert", "tiny"))
    names, before = list(model.state_dict()), BatchFlops(model)(2, 32_000)
    with NoisyKernel():
        assert correct_convolutions(model, CPU, "bfloat16")
    assert list(model.state_dict()) == names
    assert BatchFlops(model)(2, 32_000) == before


def test_hidden_states_in_bfloat16_are_near_those_in_float32() -> None:
    torch.manual_seed(0)
    model = build(resolve("hubert", "tiny")).eval()
    correct_convolutions(model, CPU, "bfloat16")
    batch = Batch(torch.randn(2, 16_000), None, 16_000, np.zeros(2, int), np.zeros(2, int))
    with torch.no_grad():
        expected = model.hidden_states(batch)[-1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.hidden_states(batch)[-1].float()
    assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.98
