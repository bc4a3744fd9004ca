"""Activation checkpointing changes memory, not gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from greenbench.cards import resolve
from greenbench.cost.subject import step_info
from greenbench.errors import ConfigError
from greenbench.models.base import Batch, Upstream
from greenbench.models.ema import make_teacher
from greenbench.models.kmeans import UnitLabels
from greenbench.models.registry import build
from greenbench.train.memory import checkpoint_activations


def gradients(*, checkpointed: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Return the gradients of one step of eco, and the bytes that autograd kept for it."""
    torch.manual_seed(0)
    model = build(resolve("eco", "tiny", {"encoder": {"width": 32}}))
    model.labels = UnitLabels(np.arange(400) % 7, np.array([0, 400]), hop_samples=320)
    if checkpointed:
        checkpoint_activations(model)
    batch = Batch(None, torch.randn(2, 200, 80), 32_000, np.zeros(2, int), np.zeros(2, int))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = model.loss(batch, step_info(seed=1))
    loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, sum(kept.values())


def test_gradients_are_the_same_and_less_is_kept() -> None:
    plain, kept_plain = gradients(checkpointed=False)
    recomputed, kept_less = gradients(checkpointed=True)
    assert plain.keys() == recomputed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(value, recomputed[name], rtol=1e-5, atol=1e-7)
    assert kept_less < 0.6 * kept_plain


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no trunk_layers"):
        checkpoint_activations(Upstream())


def test_a_copy_of_a_checkpointed_model_computes_with_its_own_weights_and_stays_checkpointed() -> None:
    torch.manual_seed(0)
    model = build(resolve("eco", "tiny", {"encoder": {"width": 32}}))
    checkpoint_activations(model)
    teacher = make_teacher(model)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
    frames = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(2), requires_grad=True)
    for original, copied in zip(model.trunk_layers(), teacher.trunk_layers(), strict=True):
        assert type(copied) is type(original)
        for training in (False, True):
            ours, theirs = original.train(training)(frames), copied.train(training)(frames)
            assert not torch.allclose(theirs, ours)
            # Without weights nothing is added to the residual.
            torch.testing.assert_close(theirs, frames)


def test_fine_tuning_a_copy_moves_the_copy_alone() -> None:
    torch.manual_seed(0)
    model = build(resolve("eco", "tiny", {"encoder": {"width": 32}}))
    checkpoint_activations(model)
    copied = copy.deepcopy(model).train()
    batch = Batch(None, torch.randn(2, 200, 80), 32_000, np.zeros(2, int), np.zeros(2, int))
    copied.hidden_states(batch)[-1].square().mean().backward()
    assert all(p.grad is None for p in model.parameters())
    for layer in copied.trunk_layers():
        assert all(p.grad is not None for p in layer.parameters())
