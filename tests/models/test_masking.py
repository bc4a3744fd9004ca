"""Masks and the loss on them: the frames that count are those the definition names, each with its weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from greenbench.cards import resolve
from greenbench.models.base import Batch, StepInfo
from greenbench.models.draws import Draws
from greenbench.models.eco import Eco, EcoMasking
from greenbench.models.kmeans import UnitLabels
from greenbench.models.masking import masked_cross_entropy, span_mask
from greenbench.models.registry import build
from greenbench.units import SAMPLE_RATE


def by_definition(logits: Tensor, targets: Tensor, mask: Tensor, weight: float) -> float:
    total = counted = 0.0
    for row in range(mask.shape[0]):
        for frame in range(mask.shape[1]):
            share = 1.0 if mask[row, frame] else weight
            scores = logits[row, frame].double()
            total += share * float(scores.exp().sum().log() - scores[targets[row, frame]])
            counted += share
    return total / counted


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 1.0, 2.0]))
def test_the_loss_weighs_every_frame_as_defined(seed: int, weight: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(2, 9, 4, generator=generator)
    targets = torch.randint(5, (2, 9), generator=generator)
    mask = span_mask(2, 9, prob=0.5, span=2, draws=Draws(seed))
    head = nn.Linear(4, 5)
    loss, accuracy = masked_cross_entropy(head, hidden, targets, mask, unmasked_weight=weight)
    assert float(loss.detach()) == pytest.approx(by_definition(head(hidden).detach(), targets, mask, weight), rel=1e-5)
    assert float(accuracy) == pytest.approx(float((head(hidden).argmax(-1) == targets)[mask].float().mean()))


def test_visible_frames_give_no_gradient_at_weight_0() -> None:
    hidden = torch.randn(1, 8, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False, False, True, False, False, False]])
    masked_cross_entropy(nn.Linear(4, 3), hidden, torch.zeros(1, 8, dtype=torch.long), mask)[0].backward()
    assert torch.equal(hidden.grad.abs().sum(-1) > 0, mask)


@given(st.integers(1, 60), st.integers(1, 12), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_masks_are_spans_and_come_back_with_their_step(frames: int, span: int, prob: float, seed: int) -> None:
    first, again = (span_mask(3, frames, prob=prob, span=span, draws=Draws(0).go_to(seed)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (3, frames)
    for row in first.tolist():
        runs = "".join("x" if hit else " " for hit in row).split()
        assert runs
        assert min(map(len, runs)) >= min(span, frames)


def test_heavy_masks_come_late_and_leave_visible_frames_out() -> None:
    light = EcoMasking(probability=0.15, span=5, unmasked_weight=1.0, heavy_from=0.25)
    assert light.at(0.24) is light
    heavy = light.at(0.25)
    assert (heavy.probability, heavy.span, heavy.unmasked_weight) == (0.5, 10, 0.0)
    assert EcoMasking(unmasked_weight=1.0).at(0.999).unmasked_weight == 1.0  # unless asked for, they never come


@pytest.mark.parametrize(("fraction", "learns"), [(0.0, True), (0.9, False)])
def test_eco_learns_from_visible_frames_until_masks_are_heavy(fraction: float, learns: bool) -> None:
    """Units of visible frames are turned round: only a loss that looks at them notices."""
    small = {"encoder": {"width": 16, "pattern": "c"}, "targets": {"units": 8}, "inputs": {"warp": 0.0}}
    model = build(resolve("eco", "tiny", {**small, "masking": {"heavy_from": 0.5}}))
    assert isinstance(model, Eco)
    features = torch.randn(1, 200, 80, generator=torch.Generator().manual_seed(0))
    losses = []
    for turned in (False, True):
        mask = model.masking.at(fraction).draw(1, 100, Draws(0))
        labels = torch.arange(100) % 7
        wanted = torch.where(mask[0] | (not turned), labels, 7 - labels)
        model.labels = UnitLabels.build([wanted.numpy()], 320)
        batch = Batch(None, features, 2 * SAMPLE_RATE, np.array([0]), np.zeros(1, dtype=np.int64))
        losses.append(float(model.loss(batch, StepInfo(0, fraction, torch.Generator(), Draws(0)))[0].detach()))
    assert (losses[0] != losses[1]) == learns
