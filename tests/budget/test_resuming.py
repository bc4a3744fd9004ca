from __future__ import annotations

import json

import pytest

from greenbench.budget import LedgerState
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


def test_a_checkpoint_that_books_waste_as_earlier_versions_did_is_read() -> None:
    state = {**LedgerState("steps", 5.0, steps=2).to_dict(), "wasted_s": 3.0, "wasted_j": 300.0}
    assert LedgerState.from_state(state) == LedgerState("steps", 5.0, steps=2)
