from __future__ import annotations

import random
import time

import pytest

from greenbench.budget import Ledger, shrink
from greenbench.config import CURRENCIES, BudgetSection
from tests.budget.machine import (
    AUDIO_S,
    CROPS,
    GRAMS_PER_JOULE,
    LIMITS,
    POWER_W,
    SAMPLES,
    Job,
    Machine,
    new_ledger,
    train,
)


@pytest.mark.parametrize("kind", CURRENCIES)
@pytest.mark.parametrize("step_s", [0.02, 0.2, 0.6, 1.5])
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_spent_is_within_one_percent_of_the_limit(kind: str, step_s: float, noise: float) -> None:
    for seed in range(8):
        machine = Machine(hz=12.0)
        ledger = new_ledger(machine, kind, LIMITS[kind])
        with ledger.phase("features"):
            machine.work(1.3)
        train(ledger, machine, Job(step_s, fixed_share=(0.05, 0.15, 0.3)[seed % 3], noise=noise), seed=seed)
        assert abs(ledger.overshoot_pct()) <= 1.0
        assert ledger.spent()[kind] == pytest.approx(LIMITS[kind] * (1 + ledger.overshoot_pct() / 100))


def test_steps_end_exactly_and_whole() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "steps", 57)
    fractions = train(ledger, machine, Job(0.3, noise=0.5))
    assert ledger.steps == len(fractions) == 57
    assert ledger.overshoot_pct() == 0.0
    assert fractions == [i / 57 for i in range(57)]


@pytest.mark.parametrize("hours", [0.002, 0.005, 0.01, 0.0275, 0.1])
def test_audio_budgets_of_few_batches_are_met_too(hours: float) -> None:
    ledger = new_ledger(machine := Machine(), "audio_hours", hours)
    train(ledger, machine, Job(0.3))
    assert abs(ledger.overshoot_pct()) <= 1.0


def test_without_hints_the_counted_cost_is_learnt_from_the_steps() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "flops", 33.3e12)
    with ledger.phase("pretrain"):
        while (share := ledger.next_step_share()) > 0:
            ledger.step_done(audio_s=AUDIO_S * share, flops=1e12 * share)
    assert ledger.overshoot_pct() == pytest.approx(0.0, abs=1e-9)
    assert ledger.steps == 34


@pytest.mark.parametrize("kind", ["seconds", "joules"])
def test_a_step_twice_as_slow_as_ever_at_the_end_does_not_overshoot_by_more_than_a_percent(kind: str) -> None:
    for slow_from in (0.9, 0.95, 0.97, 0.98, 0.99):
        machine = Machine()
        ledger = new_ledger(machine, kind, LIMITS[kind])
        with ledger.phase("pretrain"):
            while (share := ledger.next_step_share()) > 0:
                crops, samples = shrink(CROPS, SAMPLES, share)
                slow = 2.0 if ledger.fraction >= slow_from else 1.0
                machine.work(slow * 1.5 * (0.1 + 0.9 * crops * samples / (CROPS * SAMPLES)))
                ledger.step_done(audio_s=crops * samples / 16_000)
        assert ledger.overshoot_pct() <= 1.0


def test_a_loop_that_cannot_shrink_stops_below_the_limit() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 10.0)
    with ledger.phase("pretrain"):
        while ledger.step_fits():
            machine.work(0.3)
            ledger.step_done(audio_s=1.0)
    assert -3.0 <= ledger.overshoot_pct() <= 0.0
    assert ledger.steps == 33


def test_targets_that_eat_the_budget_leave_no_step() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 10.0)
    with ledger.phase("targets"):
        machine.work(11.0)
    assert train(ledger, machine, Job(0.1)) == []
    assert ledger.overshoot_pct() == pytest.approx(10.0)
    assert ledger.fraction == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["seconds", "joules", "grams_co2e"])
@pytest.mark.parametrize("step_s", [0.01, 0.1])
def test_real_clock_and_a_counter_with_extrapolation_land_too(kind: str, step_s: float) -> None:
    """Sleeps and the real clock; the only stand-in is the sensor, which draws 100 W and is read as the live cell is."""
    limit = {"seconds": 3.0, "joules": 300.0, "grams_co2e": 0.03}[kind]
    start = time.monotonic_ns()
    ledger = Ledger(
        BudgetSection(**{kind: limit}),
        live=lambda: (time.monotonic_ns() - start) * 1e-9 * POWER_W,
        grams_per_joule=GRAMS_PER_JOULE,
    )
    job, generator = Job(step_s, noise=0.05), random.Random(1)
    stalled_s = 0.0
    with ledger.phase("pretrain"):
        while (share := ledger.next_step_share()) > 0:
            begin_ns = time.monotonic_ns()
            crops, samples = shrink(CROPS, SAMPLES, share)
            asked_s = job.duration(crops * samples / 16_000, generator, first=ledger.steps == 0)
            time.sleep(asked_s)
            ledger.step_done(audio_s=crops * samples / 16_000)
            stalled_s = (time.monotonic_ns() - begin_ns) * 1e-9 - asked_s
    # A busy machine may hold up the last step; nobody can foresee for how long.
    assert -1.0 <= ledger.overshoot_pct() <= 1.0 + 100 * stalled_s / 3.0
