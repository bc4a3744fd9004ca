"""The matrix of trials, its order, and what it will cost before anything runs."""

from greenbench.plan.forecast import Throughput, measure_matmul, predict, throughput_from
from greenbench.plan.matrix import Arm, TrialPlan, arms, config_hash, expand
from greenbench.plan.text import print_plan

__all__ = [
    "Arm",
    "Throughput",
    "TrialPlan",
    "arms",
    "config_hash",
    "expand",
    "measure_matmul",
    "predict",
    "print_plan",
    "throughput_from",
]
