"""The three verdicts, and how often they are wrong on simulated noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.check import FAIL, PASS, UNDECIDABLE, Budget
from greenbench.check.decide import decide

SPREAD = 0.02


def simulated(budget: Budget, change: float, n: int, n_base: int | None = None, checks: int = 1000) -> Counter[str]:
    rng = np.random.default_rng(7)
    verdicts: Counter[str] = Counter()
    for _ in range(checks):
        base = dict(enumerate(1000 * (1 + SPREAD * rng.standard_normal(n_base or n))))
        new = dict(enumerate(1000 * (1 + change) * (1 + SPREAD * rng.standard_normal(n))))
        verdicts[decide(budget, "quickstart/eco", new, base).verdict] += 1
    return verdicts


@pytest.mark.parametrize("limit", [0.0, 0.02, 0.05])
@pytest.mark.parametrize(("n", "n_base"), [(5, 5), (8, 8), (1, 10)])
def test_no_change_raises_an_alarm_in_at_most_five_percent_of_checks(limit: float, n: int, n_base: int) -> None:
    budget = Budget("energy_budgeted_j", max_increase=limit)
    assert simulated(budget, 0.0, n, n_base)[FAIL] <= 50


def test_a_ten_percent_increase_is_caught_with_five_runs_a_side_in_four_of_five_checks() -> None:
    assert simulated(Budget("energy_budgeted_j", max_increase=0.05), 0.10, 5)[FAIL] >= 800


def test_no_change_passes_with_five_runs_a_side_in_most_checks() -> None:
    assert simulated(Budget("energy_budgeted_j", max_increase=0.05), 0.0, 5)[PASS] >= 900


@pytest.mark.parametrize("change", [0.0, 0.10, 0.5])
def test_two_runs_a_side_are_never_decidable(change: float) -> None:
    assert simulated(Budget("energy_budgeted_j", max_increase=0.05), change, 2) == {UNDECIDABLE: 1000}


def test_an_open_entry_says_how_many_more_runs_would_decide() -> None:
    entry = decide(
        Budget("energy_budgeted_j", max_increase=0.05), "s/eco", {0: 1000.0, 1: 1020.0}, {0: 990.0, 1: 1010.0}
    )
    assert entry.verdict == UNDECIDABLE
    assert entry.more_runs is not None
    assert entry.more_runs >= 2
    assert f"about {entry.more_runs} more runs a side would decide" in entry.reason


def test_that_many_runs_do_decide() -> None:
    rng = np.random.default_rng(3)
    budget = Budget("energy_budgeted_j", max_increase=0.05)
    draw: Callable[[int], dict[int, float]] = lambda n: dict(enumerate(1000 * (1 + SPREAD * rng.standard_normal(n))))  # noqa: E731
    open_ones = [decide(budget, "s", draw(2), draw(2)) for _ in range(50)]
    needed = int(np.median([entry.more_runs or 0 for entry in open_ones])) + 2
    verdicts = Counter(decide(budget, "s", draw(needed), draw(needed)).verdict for _ in range(200))
    assert verdicts[UNDECIDABLE] < 60


def test_a_saving_never_fails() -> None:
    verdicts = simulated(Budget("energy_budgeted_j", max_increase=0.0), -0.10, 5)
    assert verdicts[FAIL] == 0
    assert verdicts[PASS] >= 990


def test_where_more_is_better_the_limit_is_a_decrease() -> None:
    budget = Budget("audio_s_per_s", max_decrease=0.05)
    assert simulated(budget, -0.10, 5)[FAIL] >= 800
    assert simulated(budget, +0.10, 5)[FAIL] == 0


@given(
    value=st.floats(1, 1e18), growth=st.floats(-0.5, 3), limit=st.floats(0, 1), factor=st.sampled_from([1e-6, 1.0, 1e9])
)
def test_counted_figures_are_decided_exactly_on_one_run(
    value: float, growth: float, limit: float, factor: float
) -> None:
    base, new = value * factor, value * factor * (1 + growth)
    entry = decide(Budget("params", max_increase=limit), "eco (tiny)", {0: new}, {0: base})
    if abs(growth - limit) > 1e-6:
        assert entry.verdict == (FAIL if growth > limit else PASS)


def test_an_exact_failure_names_old_new_and_limit() -> None:
    entry = decide(Budget("params", max_increase=0.01), "eco (tiny)", {0: 2_000_000}, {0: 1_000_000})
    assert entry.verdict == FAIL
    assert entry.reason == "1,000,000 → 2,000,000 (+100.00%), limit 1,010,000; exact"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([900.0, 910, 905], PASS),
        ([1100.0, 1110, 1105], FAIL),
        ([980.0, 1030, 960], UNDECIDABLE),
        ([999.0], PASS),
        ([1001.0], FAIL),
    ],
)
def test_a_ceiling_is_held_against_the_mean_with_its_interval(values: list[float], verdict: str) -> None:
    assert decide(Budget("energy_budgeted_j", ceiling=1000), "s", dict(enumerate(values)), None).verdict == verdict


def test_absent_figures_are_open_not_passed() -> None:
    assert decide(Budget("energy_budgeted_j", ceiling=1), "s", {}, None).verdict == UNDECIDABLE
    missing = decide(Budget("energy_budgeted_j", max_increase=0.1), "s", {0: 1.0}, None)
    assert missing.verdict == UNDECIDABLE
    assert "baseline accept" in missing.reason


def test_too_few_runs_for_min_runs_are_open() -> None:
    entry = decide(Budget("energy_budgeted_j", ceiling=10, min_runs=3), "s", {0: 1.0}, None)
    assert (entry.verdict, entry.more_runs) == (UNDECIDABLE, 2)
