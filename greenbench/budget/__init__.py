"""One budget, six currencies: the ledger that books what a trial spends, and the rule that stops it."""

from greenbench.budget.ledger import Ledger
from greenbench.budget.predict import shrink
from greenbench.budget.state import LedgerState, check_budget

__all__ = ["Ledger", "LedgerState", "check_budget", "shrink"]
