"""The statistics agree with slow second implementations, keep their error rates, and find what theory says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench import stats
from greenbench.metrics import METRICS, Metric
from greenbench.stats import student_t
from tests.reference import slow_statistics as slow

whole = st.integers(-50, 50)
PER = METRICS["phones_per_pct"]
ENERGY = METRICS["energy_total_j"]


@given(st.lists(whole, min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_sign_flip_p_equals_the_count_over_all_patterns(differences: list[int]) -> None:
    assert stats.sign_flip_test(differences).p == pytest.approx(float(slow.sign_flip_p(differences)), abs=1e-12)


@given(st.lists(whole, min_size=1, max_size=5), st.lists(whole, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_permutation_p_equals_the_count_over_all_labellings(base: list[int], new: list[int]) -> None:
    assert stats.permutation_test(base, new).p == pytest.approx(float(slow.permutation_p(base, new)), abs=1e-12)


@given(st.lists(whole, min_size=2, max_size=5), st.lists(whole, min_size=2, max_size=5))
@settings(max_examples=40, deadline=None)
def test_no_data_can_beat_the_floor(base: list[int], new: list[int]) -> None:
    assert stats.permutation_test(base, new).p >= stats.permutation_floor(len(base), len(new)) - 1e-12
    assert stats.sign_flip_test(base).p >= stats.sign_flip_floor(len(base)) - 1e-12


@pytest.mark.parametrize(
    ("n", "unpaired", "paired"), [(3, 0.1, 0.25), (4, 2 / 70, 0.125), (5, 2 / 252, 0.0625), (6, 2 / 924, 0.03125)]
)
def test_clear_separation_reaches_exactly_the_floor(n: int, unpaired: float, paired: float) -> None:
    low, high = list(range(n)), list(range(100, 100 + n))
    assert stats.permutation_test(low, high).p == pytest.approx(unpaired)
    assert stats.permutation_floor(n, n) == pytest.approx(unpaired)
    assert stats.sign_flip_test([1.0] * n).p == pytest.approx(paired)


def test_a_sampled_permutation_p_agrees_with_the_exact_one() -> None:
    generator = np.random.default_rng(3)
    base, new = generator.normal(0, 1, 14), generator.normal(0.7, 1, 14)
    sampled = stats.permutation_test(base, new)
    exact = scipy.stats.permutation_test(
        (base, new), lambda a, b: a.mean() - b.mean(), n_resamples=30_000, rng=1
    ).pvalue
    assert not sampled.exact
    assert sampled.p == pytest.approx(exact, abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_rejects_what_its_definition_rejects(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    clear = [abs(a - 0.05) > 1e-9 for a in adjusted]
    for is_clear, a, rejected in zip(clear, adjusted, slow.holm_rejects(p_values, 0.05), strict=True):
        assert not is_clear or (a <= 0.05) == rejected


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(whole, whole), min_size=1))
@settings(max_examples=60, deadline=None)
def test_pareto_front_names_those_who_dominate(points: dict[str, tuple[int, int]]) -> None:
    found = stats.pareto_front({name: [point] for name, point in points.items()}, samples=20)
    assert {p.name: set(p.dominated_by) for p in found} == slow.dominated(points)
    assert all(p.front_probability == float(p.on_front) for p in found)


def test_pareto_front_says_how_sure_it_is() -> None:
    generator = np.random.default_rng(0)

    def runs(cost: float, error: float) -> list[tuple[float, float]]:
        return [(cost + generator.normal(0, 0.01), error + generator.normal(0, 1)) for _ in range(5)]

    found = {p.name: p for p in stats.pareto_front({"cheap": runs(1, 30), "rival": runs(2, 30), "bad": runs(3, 60)})}
    assert found["cheap"].front_probability == 1.0
    assert found["bad"].front_probability == 0.0
    assert 0.05 < found["rival"].front_probability < 0.95


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=8, unique_by=lambda p: p[0]),
    whole,
)
@settings(max_examples=30, deadline=None)
def test_energy_to_target_is_where_the_curve_first_crosses(curve: list[tuple[int, int]], target: int) -> None:
    assert stats.energy_to_target(curve, target) == pytest.approx(slow.first_reach(curve, target, 2000), abs=0.06)


def test_a_missed_target_costs_infinite_energy() -> None:
    assert stats.energy_to_target([(1.0, 50.0), (2.0, 40.0)], 39.9) == math.inf
    assert stats.energy_to_target([(1.0, 50.0), (2.0, math.nan), (3.0, 30.0)], 40.0) == pytest.approx(2.0)
    assert stats.energy_to_target([], 10.0) == math.inf


@given(st.floats(1, 2000), st.floats(-30, 30), st.floats(0.0005, 0.9995))
def test_students_t_agrees_with_scipy(df: float, t: float, probability: float) -> None:
    assert student_t.t_cdf(t, df) == pytest.approx(float(scipy.special.stdtr(df, t)), rel=1e-9, abs=1e-13)
    assert student_t.t_quantile(probability, df) == pytest.approx(
        float(scipy.special.stdtrit(df, probability)), rel=1e-7, abs=1e-7
    )


@given(st.integers(1, 2000), st.floats(-700, 700), st.floats(-40, 40))
def test_the_shifted_t_agrees_with_scipy(df: int, t: float, shift: float) -> None:
    reference = float(scipy.special.nctdtr(df, shift, t))
    if math.isfinite(reference):  # scipy has no answer for some far tails
        assert student_t.shifted_t_cdf(t, df, shift) == pytest.approx(reference, rel=1e-8, abs=1e-9)


def test_the_runs_for_an_effect_of_any_size_are_found_at_once() -> None:
    """A spread next to nothing makes the effect huge; the series of the non-central t then never ends."""
    assert [stats.required_runs(1.0, sd) for sd in (1e-12, 1e-6, 1e-3)] == [2, 2, 2]
    assert stats.required_runs(1e-9, 1.0, limit=10_000) == 10_000


# -- against scipy ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12), st.lists(st.floats(-10, 10), min_size=3, max_size=12))
@settings(max_examples=50, deadline=None)
def test_welch_agrees_with_scipy(base: list[float], new: list[float]) -> None:
    if np.std(base) < 1e-3 or np.std(new) < 1e-3:
        return
    found = stats.welch(base, new)
    reference = scipy.stats.ttest_ind(new, base, equal_var=False)
    bounds = reference.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx(
        (reference.pvalue, bounds.low, bounds.high), rel=1e-6, abs=1e-9
    )


def test_paired_t_and_its_interval_agree_with_scipy() -> None:
    differences = [0.3, -0.1, 0.8, 0.45, 0.2]
    reference = scipy.stats.ttest_1samp(differences, 0)
    bounds = reference.confidence_interval(0.95)
    found = stats.t_interval(differences)
    assert stats.paired_t(differences) == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))


def test_one_run_has_no_interval() -> None:
    assert stats.t_interval([1.0]).high == math.inf
    assert stats.prediction_interval([1.0], 3).low == -math.inf
    assert math.isnan(stats.paired_t([1.0]))
    assert math.isnan(stats.welch([1.0], [2.0, 3.0]).p)
    assert stats.non_inferior([-5.0], 1.0) == (False, math.inf)


# -- error rates and power --------------------------------------------------------------------------------------------

# 4,000 draws: the standard error of a rate of 0.05 is 0.0034, so 0.06 lies three of them above.
DRAWS = 4000


def _rate(n: int, shift: float, correlation: float, seed: int, *, heavy: bool = False) -> float:
    generator = np.random.default_rng(seed)
    draw = (lambda size: generator.standard_t(3, size)) if heavy else (lambda size: generator.normal(0, 1, size))
    shared, own = math.sqrt(correlation), math.sqrt(1 - correlation)
    gate = stats.choose_gate(n, n, n)
    hits = 0
    for _ in range(DRAWS):
        seed_effect = shared * draw(n)
        base, new = seed_effect + own * draw(n), seed_effect + own * draw(n) + shift
        hits += gate.run(base.tolist(), new.tolist()).p <= 0.05
    return hits / DRAWS


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("n", "heavy"), [(5, False), (5, True), (8, False)])
def test_false_alarms_stay_at_alpha(n: int, correlation: float, *, heavy: bool) -> None:
    assert _rate(n, 0.0, correlation, 7, heavy=heavy) <= 0.06


@pytest.mark.slow
def test_false_alarms_of_a_table_stay_at_alpha_after_holm() -> None:
    generator, hits = np.random.default_rng(11), 0
    gate = stats.choose_gate(5, 5, 5, metrics=4)
    assert gate.decidable
    for _ in range(2000):
        p_values = [gate.run(generator.normal(size=5).tolist(), generator.normal(size=5).tolist()).p for _ in range(4)]
        hits += min(stats.holm(p_values)) <= 0.05
    assert hits / 2000 <= 0.06


@pytest.mark.parametrize(
    ("effect", "n", "paired"), [(1.0, 8, True), (1.2, 12, False), (0.5, 30, True), (2.0, 5, False)]
)
def test_power_of_t_matches_simulation(effect: float, n: int, *, paired: bool) -> None:
    generator = np.random.default_rng(5)
    new = generator.normal(effect, 1, (20_000, n))
    if paired:
        p_values = scipy.stats.ttest_1samp(new, 0, axis=1).pvalue
    else:
        p_values = scipy.stats.ttest_ind(new, generator.normal(0, 1, new.shape), axis=1).pvalue
    assert stats.power_of_t(effect, n, paired=paired) == pytest.approx(float((p_values <= 0.05).mean()), abs=0.012)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "effect"), [(5, 2.0), (8, 1.5)])
def test_power_of_the_gate_is_near_the_t_tests(n: int, effect: float) -> None:
    """Discreteness costs a little; what theory promises must be there within five points, and not more."""
    paired = stats.choose_gate(n, n, n).test == "sign-flip"
    standardised = effect / math.sqrt(2) if paired else effect
    theory = stats.power_of_t(standardised, n, paired=paired)
    assert _rate(n, effect, 0.0, 13) == pytest.approx(theory, abs=0.05)


def test_required_runs_is_the_first_n_with_the_power() -> None:
    for difference, sd, paired in [(1.0, 1.0, False), (0.05, 0.02, False), (0.5, 1.0, True)]:
        n = stats.required_runs(difference, sd, paired=paired)
        assert stats.power_of_t(difference / sd, n, paired=paired) >= 0.8
        assert n == 2 or stats.power_of_t(difference / sd, n - 1, paired=paired) < 0.8
    assert stats.required_runs(1.0, 1.0) == 17  # Cohen 1988, table 2.4.1, d = 1.0 at power .80


def test_prediction_interval_holds_the_share_of_new_means_it_promises() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(3000):
        bounds = stats.prediction_interval(generator.normal(10, 2, 6), 3)
        hits += bounds.low <= generator.normal(10, 2, 3).mean() <= bounds.high
    assert hits / 3000 == pytest.approx(0.95, abs=0.015)


def test_non_inferiority_is_rarely_granted_at_the_margin_itself() -> None:
    generator = np.random.default_rng(4)
    granted = sum(stats.non_inferior(generator.normal(1.0, 1, 6), 1.0)[0] for _ in range(4000))
    assert granted / 4000 <= 0.06
    assert stats.non_inferior([-0.5, 0.1, -0.2, 0.0, 0.2], 1.0)[0]


# -- verdicts ---------------------------------------------------------------------------------------------------------


def _verdict(metric: Metric, base: list[float], new: list[float], metrics: int = 1) -> str:
    gate = stats.choose_gate(len(base), len(base), len(new), metrics=metrics)
    p = min(1.0, metrics * gate.run(base, new).p)
    return stats.judge(metric, float(np.mean(base)), float(np.mean(new)), p, decidable=gate.decidable)


def test_three_against_three_is_not_enough_however_clear_it_is() -> None:
    gate = stats.choose_gate(3, 3, 3)
    assert not gate.decidable
    assert gate.floor == pytest.approx(0.10)
    assert _verdict(PER, [60, 61, 62], [10, 11, 12]) == stats.NOT_ENOUGH


def test_five_against_five_decides_in_both_directions() -> None:
    low, high = [30.0, 31, 30.5, 29.8, 30.2], [40.0, 41, 40.5, 39.8, 40.2]
    assert _verdict(PER, high, low) == stats.BETTER
    assert _verdict(PER, low, high) == stats.WORSE
    assert _verdict(METRICS["audio_s_per_s"], low, high) == stats.BETTER
    assert _verdict(PER, low, low) == stats.NO_DIFFERENCE


def test_a_significant_but_tiny_difference_is_not_claimed() -> None:
    base = [30.0, 30.01, 30.02, 29.99, 29.98]
    assert _verdict(PER, base, [v - 0.9 for v in base]) == stats.NO_DIFFERENCE
    assert _verdict(PER, base, [v - 1.1 for v in base]) == stats.BETTER
    assert _verdict(ENERGY, base, [v * 0.985 for v in base]) == stats.NO_DIFFERENCE
    assert _verdict(ENERGY, base, [v * 0.97 for v in base]) == stats.BETTER


def test_more_metrics_need_more_runs() -> None:
    assert stats.choose_gate(5, 5, 5, metrics=6).decidable
    assert not stats.choose_gate(5, 5, 5, metrics=7).decidable
    assert stats.choose_gate(6, 6, 6, metrics=7).decidable


@given(st.integers(1, 20), st.integers(2, 24))
@settings(deadline=None)
def test_more_runs_never_decide_less(metrics: int, n: int) -> None:
    fewer, more = (stats.choose_gate(k, k, k, metrics=metrics).decidable for k in (n, n + 1))
    assert more or not fewer


def test_the_gate_pairs_only_where_all_runs_have_a_partner() -> None:
    assert stats.choose_gate(8, 8, 8).test == "sign-flip"
    assert stats.choose_gate(8, 9, 8).test == "permutation"
    assert stats.choose_gate(0, 8, 8).test == "permutation"


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        stats.permutation_test([1.0, math.nan], [2.0])
    with pytest.raises(ValueError, match="finite"):
        stats.sign_flip_test([])
