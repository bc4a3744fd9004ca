"""Paired comparisons, intervals, verdicts: small samples, exact tests, and no claim below a practical threshold."""

from greenbench.stats.curves import ParetoPoint, energy_to_target, pareto_front
from greenbench.stats.intervals import (
    Interval,
    WelchResult,
    non_inferior,
    paired_t,
    power_of_t,
    prediction_interval,
    required_runs,
    t_interval,
    welch,
)
from greenbench.stats.permutation import (
    PermutationResult,
    permutation_floor,
    permutation_test,
    sign_flip_floor,
    sign_flip_test,
)
from greenbench.stats.verdicts import BETTER, NO_DIFFERENCE, NOT_ENOUGH, VERDICTS, WORSE, Gate, choose_gate, holm, judge

__all__ = [
    "BETTER",
    "NOT_ENOUGH",
    "NO_DIFFERENCE",
    "VERDICTS",
    "WORSE",
    "Gate",
    "Interval",
    "ParetoPoint",
    "PermutationResult",
    "WelchResult",
    "choose_gate",
    "energy_to_target",
    "holm",
    "judge",
    "non_inferior",
    "paired_t",
    "pareto_front",
    "permutation_floor",
    "permutation_test",
    "power_of_t",
    "prediction_interval",
    "required_runs",
    "sign_flip_floor",
    "sign_flip_test",
    "t_interval",
    "welch",
]
