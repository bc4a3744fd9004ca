from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from greenbench.budget import Ledger
from greenbench.config import BudgetSection
from tests.budget.machine import Job, Machine, new_ledger, train


def test_only_budgeted_phases_are_charged_and_a_checkpoint_pauses() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 100.0)
    with ledger.phase("setup"):
        machine.work(7)
    with ledger.phase("features"):
        machine.work(1)
    machine.work(20)
    with ledger.phase("pretrain"):
        machine.work(2)
        with ledger.phase("checkpoint"):
            machine.work(5)
        machine.work(3)
    with ledger.phase("evaluate"):
        machine.work(11)
    spent = ledger.spent()
    assert (spent["seconds"], spent["joules"]) == (pytest.approx(6.0), pytest.approx(600.0))
    assert spent["grams_co2e"] == pytest.approx(0.06)
    seconds = {name: values["seconds"] for name, values in ledger.phases().items()}
    assert seconds == pytest.approx(
        {"setup": 7, "features": 1, "outside": 20, "pretrain": 5, "checkpoint": 5, "evaluate": 11}
    )


def test_a_checkpoint_between_steps_is_not_part_of_a_steps_cost() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 20.0)
    with ledger.phase("pretrain"):
        while (share := ledger.next_step_share()) > 0:
            machine.work(0.5 * share)
            ledger.step_done(audio_s=1.0)
            with ledger.phase("checkpoint"):
                machine.work(4.0)
    assert ledger.steps >= 40
    assert abs(ledger.overshoot_pct()) <= 1.0


def test_charges_count_and_are_told_apart() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "flops", 10e12)
    ledger.charge(flops=4e12, origin="k-means")
    ledger.charge(seconds=3.0, joules=250.0, audio_s=3600.0, origin="features")
    spent = ledger.spent()
    assert (spent["flops"], spent["seconds"], spent["joules"], spent["audio_hours"]) == (4e12, 3.0, 250.0, 1.0)
    assert ledger.state()["charges"]["k-means"]["flops"] == 4e12
    train(ledger, machine, Job(0.1))
    assert ledger.steps == 6


def test_the_schedule_starts_at_zero_after_paid_targets_and_ends_with_the_budget() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 45.0)
    with ledger.phase("targets"):
        machine.work(9.0)
    assert ledger.fraction == 0.0
    fractions = train(ledger, machine, Job(0.3))
    assert fractions[0] == 0.0
    assert all(b >= a for a, b in itertools.pairwise(fractions))
    assert fractions[-1] > 0.97
    assert ledger.spent_fraction > 0.99


def test_energy_unknown_stays_unknown() -> None:
    ledger = Ledger(BudgetSection(steps=3), clock=Machine().clock)
    with ledger.phase("pretrain"):
        ledger.step_done(audio_s=1.0, flops=1.0)
    assert ledger.spent()["joules"] is None
    assert ledger.spent()["grams_co2e"] is None
    assert ledger.state()["spent_j"] is None


def test_a_sensor_that_stops_is_bridged_at_the_sessions_power_and_counted() -> None:
    machine = Machine()
    readings: list[Callable[[], float | None]] = [machine.joules]

    def live() -> float | None:
        return readings[-1]()

    ledger = Ledger(BudgetSection(joules=2000.0), clock=machine.clock, live=live)
    with ledger.phase("pretrain"):
        for silent in (False, False, True, True, False):
            readings.append((lambda: None) if silent else machine.joules)
            machine.work(1.0)
            ledger.step_done(audio_s=1.0)
    assert ledger.energy_gaps > 0
    assert ledger.spent()["joules"] == pytest.approx(500.0)


def test_a_sampler_that_starts_anew_at_zero_loses_no_energy() -> None:
    machine = Machine()
    offset = [0.0]
    ledger = Ledger(BudgetSection(joules=2000.0), clock=machine.clock, live=lambda: machine.joules() - offset[0])
    with ledger.phase("pretrain"):
        machine.work(2.0)
        ledger.step_done(audio_s=1.0)
        offset[0] = machine.joules()
        machine.work(0.5)
        ledger.step_done(audio_s=1.0)
        machine.work(2.0)
        ledger.step_done(audio_s=1.0)
    assert ledger.spent()["joules"] == pytest.approx(450.0)
    assert ledger.energy_gaps == 1
