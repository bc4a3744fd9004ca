"""Transfer: for this much adaptation, which strategy gives the lowest error, and with how much memory."""

from greenbench.evaluate.transfer.adaptation import TransferResult, adapt
from greenbench.evaluate.transfer.strategies import STRATEGIES, Strategy
from greenbench.evaluate.transfer.table import run_transfer

__all__ = ["STRATEGIES", "Strategy", "TransferResult", "adapt", "run_transfer"]
