"""The schedule depends on the spent fraction alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.cards import Recipe
from greenbench.train.schedule import WARMUP_START, learning_rate_factor

fractions = st.floats(0, 1)


@given(fractions, fractions, st.floats(0, 1), st.floats(0, 0.5))
def test_the_factor_lies_between_its_ends(warmup: float, decay: float, position: float, final: float) -> None:
    recipe = Recipe(warmup_fraction=warmup, decay_fraction=decay, final_lr_ratio=final)
    assert min(final, WARMUP_START) - 1e-12 <= learning_rate_factor(position, recipe) <= 1.0


def test_it_warms_up_holds_and_decays() -> None:
    recipe = Recipe(warmup_fraction=0.1, decay_fraction=0.4, final_lr_ratio=0.05)
    assert learning_rate_factor(0.0, recipe) == WARMUP_START
    assert learning_rate_factor(0.05, recipe) == pytest.approx((1 + WARMUP_START) / 2)
    assert learning_rate_factor(0.1, recipe) == learning_rate_factor(0.6, recipe) == 1.0
    assert learning_rate_factor(0.8, recipe) == pytest.approx(0.525)
    assert learning_rate_factor(1.0, recipe) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("warmup", "decay", "end"), [(0.08, 0.92, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.6, 0.8, 0.0), (1.0, 0.0, 1.0)]
)
def test_edges(warmup: float, decay: float, end: float) -> None:
    recipe = Recipe(warmup_fraction=warmup, decay_fraction=decay, final_lr_ratio=0.0)
    assert learning_rate_factor(1.0, recipe) == pytest.approx(end)
    assert learning_rate_factor(1.7, recipe) == learning_rate_factor(1.0, recipe)
    assert learning_rate_factor(-1.0, recipe) == learning_rate_factor(0.0, recipe)


@given(st.floats(0.01, 0.3), st.floats(0.1, 0.7))
def test_it_has_no_jumps(warmup: float, decay: float) -> None:
    recipe = Recipe(warmup_fraction=warmup, decay_fraction=decay)
    grid = [learning_rate_factor(i / 2000, recipe) for i in range(2001)]
    steepest = 1 / min(warmup, decay) / 2000
    assert max(abs(a - b) for a, b in itertools.pairwise(grid)) <= steepest + 1e-9
