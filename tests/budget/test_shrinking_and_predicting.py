from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.budget import Ledger, shrink
from greenbench.budget.predict import StepPredictor, upper_quantile
from greenbench.config import BudgetSection
from tests.budget.machine import Machine


@given(st.integers(1, 64), st.integers(25, 1500), st.floats(0.001, 0.999))
@settings(max_examples=300, deadline=None)
def test_a_shrunken_batch_is_never_larger_than_its_share_nor_much_smaller(size: int, frames: int, share: float) -> None:
    samples = frames * 320
    crops, length = shrink(size, samples, share)
    assert 1 <= crops <= size
    assert length % 320 == 0
    assert min(8_000, samples) <= length <= samples
    if crops * length > 8_000:  # else the smallest batch there is
        assert crops * length <= share * size * samples + 1e-6
        assert crops * length > share * size * samples - crops * 320 - 8_000


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=64))
def test_the_upper_quantile_is_a_seen_value_with_nine_tenths_below(values: list[float]) -> None:
    found = upper_quantile(values)
    assert found in values
    assert sum(v <= found for v in values) >= 0.9 * len(values)


def test_one_slow_first_step_does_not_spoil_the_prediction() -> None:
    predictor = StepPredictor()
    for seconds in (30.0, 0.1, 0.11, 0.1):
        predictor.observe(1.0, seconds=seconds, joules=10 * seconds, flops=1.0, audio_s=1.0)
    assert predictor.seconds() == pytest.approx(0.11)
    assert predictor.joules() == pytest.approx(1.1)


def test_an_outlier_raises_the_prediction_only_while_it_is_recent() -> None:
    predictor = StepPredictor()
    costs = [0.1] * 20 + [5.0] * 8 + [0.1] * 64
    seen = []
    for seconds in costs:
        predictor.observe(1.0, seconds=seconds, joules=0.0, flops=1.0, audio_s=1.0)
        seen.append(predictor.seconds())
    assert max(v for v in seen if v is not None) == 5.0
    assert seen[-1] == pytest.approx(0.1)


def test_a_budget_in_grams_counts_each_joule_at_the_intensity_of_its_hour() -> None:
    machine = Machine()
    rate = [1e-4]
    ledger = Ledger(
        BudgetSection(grams_co2e=1.0), clock=machine.clock, live=machine.joules, grams_per_joule=lambda: rate[0]
    )
    with ledger.phase("features"):
        machine.work(10.0)
    first_j = ledger.spent()["joules"]
    rate[0] = 3e-4
    with ledger.phase("features"):
        machine.work(10.0)
    spent = ledger.spent()
    grams = first_j * 1e-4 + (spent["joules"] - first_j) * 3e-4
    assert spent["grams_co2e"] == pytest.approx(grams)
    again = Ledger(
        BudgetSection(grams_co2e=1.0),
        clock=machine.clock,
        live=machine.joules,
        grams_per_joule=1e-4,
        carried=ledger.state(),
    )
    assert again.spent()["grams_co2e"] == pytest.approx(grams)
