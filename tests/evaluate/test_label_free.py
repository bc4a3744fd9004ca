"""PNMI, effective rank and ABX agree with slow second implementations and with their known ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.evaluate import abx
from greenbench.evaluate.label_free import effective_rank, pnmi
from tests.reference import fastabx_figures
from tests.reference import slow_evaluation as slow


@given(st.integers(0, 1000))
def test_pnmi_is_one_minus_conditional_over_marginal_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phones = rng.integers(0, 4, 60)
    units = np.where(rng.random(60) < 0.5, phones, rng.integers(0, 6, 60))
    assert pnmi(units, phones) == pytest.approx(slow.pnmi(units.tolist(), phones.tolist()), abs=1e-9)


def test_pnmi_is_one_for_the_phones_themselves_and_zero_for_a_constant() -> None:
    phones = np.array([0, 1, 2, 2, 1])
    assert pnmi(phones, phones) == pytest.approx(1.0)
    assert pnmi(np.zeros(5, dtype=int), phones) == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 1000))
def test_effective_rank_is_the_svds(seed: int) -> None:
    embedding = np.random.default_rng(seed).normal(size=(40, 6)) * np.arange(1, 7)
    assert effective_rank(embedding) == pytest.approx(slow.effective_rank(embedding), rel=1e-5)


def test_effective_rank_counts_directions() -> None:
    rng = np.random.default_rng(0)
    assert effective_rank(rng.normal(size=(4000, 8))) == pytest.approx(8, abs=0.05)
    assert effective_rank(np.outer(np.arange(50.0), np.ones(8))) == pytest.approx(1, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6))
def test_warped_distance_is_the_textbooks(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(first + second, 3))
    spans = np.array([[0, first], [first, first + second]])
    between = abx.angular_distances(frames, frames)
    found = abx.warped_distances(between, spans, np.array([[0, 1]]))[0]
    assert found == pytest.approx(slow.warping_distance(frames[:first], frames[first:]), abs=1e-4)


def test_abx_is_the_average_over_triples_speakers_and_pairs() -> None:
    rng = np.random.default_rng(3)
    layer = rng.normal(size=(200, 4))
    tokens, plain, at = [], [], 0
    for speaker, phone in [(s, p) for s in "xy" for p in "aabbcc" if (s, p) != ("y", "c")]:
        length = int(rng.integers(1, 5))
        layer[at : at + length] += 2.0 * np.eye(4)["abc".index(phone)]
        tokens.append(abx.Token(phone, speaker, at, at + length))
        plain.append((phone, speaker, layer[at : at + length]))
        at += length
    error, pairs = abx.abx_error_pct(layer, tokens)
    assert error == pytest.approx(slow.abx_error_pct(plain), abs=1e-3)
    assert pairs == 6


@pytest.mark.parametrize("seed", sorted(fastabx_figures.FIGURES_PCT))
def test_abx_is_what_fastabx_says(seed: int) -> None:
    frames, drawn = fastabx_figures.drawn_tokens(seed)
    error, _ = abx.abx_error_pct(frames, [abx.Token(*token) for token in drawn])
    assert error == pytest.approx(fastabx_figures.FIGURES_PCT[seed], abs=1e-4)
    plain = [(phone, speaker, frames[begin:end]) for phone, speaker, begin, end in drawn]
    assert slow.abx_error_pct(plain) == pytest.approx(error, abs=1e-3)


def test_abx_is_what_an_installed_fastabx_says() -> None:
    pytest.importorskip("fastabx", reason="fastabx needs Python 3.12 or newer")
    frames, drawn = fastabx_figures.drawn_tokens(7)
    error, _ = abx.abx_error_pct(frames, [abx.Token(*token) for token in drawn])
    assert error == pytest.approx(fastabx_figures.fastabx_error_pct(frames, drawn), abs=1e-4)


def test_abx_is_at_chance_for_noise_and_zero_for_separate_phones() -> None:
    rng = np.random.default_rng(0)
    tokens = [abx.Token("abcd"[n % 4], "s", 3 * n, 3 * n + 3) for n in range(60)]
    noise = rng.normal(size=(180, 16))
    centres = 5 * np.eye(16)[np.repeat([n % 4 for n in range(60)], 3)]
    assert abx.abx_error_pct(noise, tokens)[0] == pytest.approx(50, abs=5)
    assert abx.abx_error_pct(centres + 0.1 * noise, tokens)[0] == 0.0
