"""Masks and the loss on them: the frames that count are those the definition names, each with its weight."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from greenbench.models.draws import Draws
from greenbench.models.masking import masked_cross_entropy, span_mask


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
