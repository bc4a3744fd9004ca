from __future__ import annotations

import pytest

from greenbench.budget import Ledger, check_budget
from greenbench.config import BudgetSection
from greenbench.errors import ConfigError
from tests.budget.machine import Machine, new_ledger


@pytest.mark.parametrize(
    ("budget", "has_energy", "grams", "named"),
    [
        (BudgetSection(joules=10), False, 1e-4, "joules = 10: no energy source"),
        (BudgetSection(grams_co2e=1), False, 1e-4, "grams_co2e = 1: no energy source"),
        (BudgetSection(grams_co2e=1), True, None, "intensity_g_per_kwh"),
        (BudgetSection(grams_co2e=1), True, 0.0, "intensity is 0"),
    ],
)
def test_a_budget_that_cannot_be_known_is_refused(
    budget: BudgetSection, has_energy: bool, grams: float | None, named: str
) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        check_budget(budget, has_energy=has_energy, grams_per_joule=grams)
    assert "\n" not in str(caught.value)


def test_the_ledger_refuses_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="no energy source"):
        Ledger(BudgetSection(joules=5.0), live=lambda: None)
    ledger = new_ledger(Machine(), "seconds", 5.0)
    with pytest.raises(ConfigError, match="seconds = 6"):
        new_ledger(Machine(), "seconds", 6.0, carried=ledger.state())
    with pytest.raises(ConfigError, match="not on record"):
        new_ledger(Machine(), "joules", 6.0).charge(seconds=1.0, joules=None, origin="features")
    with pytest.raises(ValueError, match="pretrain"), ledger.phase("lunch"):
        pass
