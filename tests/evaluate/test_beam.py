"""CTC beam search against the sum over all alignments."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.evaluate.alignment import collapse
from greenbench.evaluate.beam import prefix_beam


def best_text(log_probabilities: np.ndarray) -> tuple[dict[tuple[int, ...], float], tuple[int, ...]]:
    """Sum the probability of every text over all paths, the slow way."""
    frames, classes = log_probabilities.shape
    total: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(classes), repeat=frames):
        probability = float(np.exp(sum(log_probabilities[t, s] for t, s in enumerate(path))))
        total[tuple(collapse(np.array(path), silence=0))] += probability
    return dict(total), max(total, key=lambda text: total[text])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_a_wide_beam_finds_the_most_probable_text(frames: int, classes: int, seed: int) -> None:
    scores = 2 * np.random.default_rng(seed).standard_normal((frames, classes))
    log_probabilities = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    total, best = best_text(log_probabilities)
    found = tuple(prefix_beam(log_probabilities, 500))
    assert total[found] == pytest.approx(total[best])


def test_many_weak_alignments_beat_one_strong_path() -> None:
    # Greedy reads blank, blank; the text "1" has three paths that together weigh more.
    log_probabilities = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert collapse(log_probabilities.argmax(axis=1), silence=0) == []
    assert prefix_beam(log_probabilities, 8) == [1]


def test_a_beam_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        prefix_beam(np.zeros((1, 2)), 0)
