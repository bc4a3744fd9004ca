from __future__ import annotations

import json

import pytest

from greenbench.budget import LedgerState, carry_over
from tests.budget.machine import LIMITS, Job, Machine, new_ledger, train


@pytest.mark.parametrize("kind", ["steps", "flops", "audio_hours"])
@pytest.mark.parametrize("interrupted_after", [1, 7, 30, 32, 33])
def test_counted_budgets_continue_bit_for_bit(kind: str, interrupted_after: int) -> None:
    limit = {"steps": 35.0, "flops": 33.3e12, "audio_hours": 0.3}[kind]
    whole = new_ledger(machine := Machine(), kind, limit)
    expected = train(whole, machine, Job(0.3, noise=0.4), seed=1)

    first = new_ledger(machine := Machine(), kind, limit)
    fractions = train(first, machine, Job(0.3, noise=0.4), seed=2, stop_after=interrupted_after)
    state = json.loads(json.dumps(first.state()))
    second = new_ledger(machine := Machine(now_ns=77), kind, limit, carried=state)
    fractions += train(second, machine, Job(0.7, noise=0.4), seed=3)
    assert fractions == expected
    for currency in ("steps", "flops", "audio_hours"):
        assert second.spent()[currency] == whole.spent()[currency]


@pytest.mark.parametrize("kind", ["seconds", "joules", "grams_co2e"])
def test_clocked_budgets_continue_where_the_checkpoint_was(kind: str) -> None:
    machine = Machine()
    first = new_ledger(machine, kind, LIMITS[kind])
    train(first, machine, Job(0.6), stop_after=20)
    state = json.loads(json.dumps(first.state()))
    machine.work(300.0)  # the machine was off in between
    second = new_ledger(machine, kind, LIMITS[kind], carried=state)
    assert second.spent() == first.spent()
    train(second, machine, Job(0.6))
    assert abs(second.overshoot_pct()) <= 1.0


def test_a_state_is_read_back_unchanged() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 45.0)
    ledger.charge(flops=0.1 + 0.2, origin="k-means")
    train(ledger, machine, Job(0.31), stop_after=9)
    state = ledger.state()
    again = new_ledger(machine, "seconds", 45.0, carried=json.loads(json.dumps(state)))
    assert again.state() == state
    assert LedgerState.from_state(state).to_dict() == state


def test_a_crash_wastes_what_came_after_the_checkpoint_and_total_is_the_journals_sum() -> None:
    machine = Machine()
    ledger = new_ledger(machine, "seconds", 45.0)
    train(ledger, machine, Job(0.5, noise=0, warmup=1), stop_after=20)
    checkpoint = ledger.state()
    began = ledger.phases()["pretrain"]["joules"]
    with ledger.phase("pretrain"):
        machine.work(3.0)  # lost: the process is killed here
    journals_j, journals_s = 1000.0 + 300.0, 10.0 + 3.0
    assert began == pytest.approx(1000.0)
    carried = carry_over(LedgerState.from_state(checkpoint), burnt_j=journals_j, burnt_s=journals_s)
    assert (carried.wasted_s, carried.wasted_j) == (pytest.approx(3.0), pytest.approx(300.0))

    second = new_ledger(machine, "seconds", 45.0, carried=carried)
    assert second.spent()["seconds"] == pytest.approx(10.0)
    with second.phase("pretrain"):
        machine.work(2.0)  # a second crash before any checkpoint: the same one is continued again
    again = carry_over(LedgerState.from_state(checkpoint), burnt_j=journals_j + 200.0, burnt_s=journals_s + 2.0)
    assert (again.wasted_s, again.wasted_j) == (pytest.approx(5.0), pytest.approx(500.0))

    third = new_ledger(machine, "seconds", 45.0, carried=again)
    train(third, machine, Job(0.5))
    assert abs(third.overshoot_pct()) <= 1.0
    assert third.wasted == (pytest.approx(5.0), pytest.approx(500.0))
    kept_j = LedgerState.from_state(third.state()).kept_j
    assert kept_j is not None
    assert kept_j + 500.0 == pytest.approx(journals_j + 200.0 + 100.0 * (third.spent()["seconds"] - 10.0))


def test_waste_of_unknown_energy_is_unknown() -> None:
    state = LedgerState("steps", 5.0)
    assert carry_over(state, burnt_j=None, burnt_s=4.0).wasted_j is None
