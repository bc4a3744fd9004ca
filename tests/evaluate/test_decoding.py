"""Labels, decoding and error rates agree with slow second implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.evaluate.alignment import Inventory, collapse, frame_labels, phone_sequence
from greenbench.evaluate.decoding import Transitions, bigram_log_probabilities, viterbi
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average
from tests.reference import slow_evaluation as slow

sequences = st.lists(st.sampled_from("abc"), max_size=7)


@given(st.lists(st.tuples(sequences, sequences), min_size=1, max_size=5))
def test_error_rate_counts_the_edits_of_the_textbook(pairs: list) -> None:
    references, hypotheses = [p[0] for p in pairs], [p[1] for p in pairs]
    rate = error_rate(references, hypotheses)
    assert rate.errors == sum(slow.edit_distance(r, h) for r, h in pairs)
    assert rate.length == sum(map(len, references))


def test_macro_average_gives_each_language_one_voice() -> None:
    by_language = grouped_error_pct(["ab", "ab", "cd"], ["ab", "ab", "xx"], ["en", "en", "pl"])
    assert by_language == {"en": 0.0, "pl": 100.0}
    assert macro_average(by_language) == 50.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0, 3))
def test_viterbi_finds_the_best_of_all_paths(seed: int, frames: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(frames, 3)).astype(np.float32)
    bigram = bigram_log_probabilities([rng.integers(0, 3, 20)], 3)
    transitions = Transitions.build(bigram, penalty=penalty, bigram_weight=0.5)
    others = [rng.normal(size=(n, 3)).astype(np.float32) for n in (7, 1, 4)]
    path = viterbi([*others, scores], transitions)[-1]  # decoded beside others, in a sorted batch
    found = slow.path_score(scores, transitions.scores, tuple(path))
    assert found == pytest.approx(slow.best_path_score(scores, transitions.scores), abs=1e-4)


def test_a_switch_penalty_removes_a_flicker() -> None:
    scores = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.8, 0.2]], dtype=np.float32))
    none = np.zeros((2, 2))
    free = viterbi([scores], Transitions.build(none, penalty=0.0, bigram_weight=0.0))[0]
    held = viterbi([scores], Transitions.build(none, penalty=2.0, bigram_weight=0.0))[0]
    assert free.tolist() == [0, 1, 0]
    assert held.tolist() == [0, 0, 0]


def test_frame_labels_hold_at_the_frames_centre() -> None:
    inventory = Inventory(["a", "b", "sil"])
    labels = frame_labels([("a", 0.0, 0.03), ("b", 0.03, 0.0501), ("zz", 0.06, 0.08)], 5, inventory)
    # centres: 0.01 0.03 0.05 0.07 0.09
    assert inventory.labels == ("sil", "a", "b")
    assert labels.tolist() == [1, 2, 2, -1, 0]


@given(st.lists(st.integers(0, 3), max_size=20))
def test_collapse_drops_silence_after_joining_repeats(path: list[int]) -> None:
    runs = [label for i, label in enumerate(path) if i == 0 or path[i - 1] != label]
    assert collapse(np.array(path, dtype=np.int64)) == [label for label in runs if label != 0]


def test_the_reference_keeps_a_phone_said_twice() -> None:
    assert phone_sequence([("sil", 0, 1), ("a", 1, 2), ("a", 2, 3)]) == ["a", "a"]
