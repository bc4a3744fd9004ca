"""The matrix of trials, its order, and what it will cost before anything runs."""

from greenbench.plan.forecast import AROUND_TRAINING_S, Throughput, measure_matmul, predict, throughput_from
from greenbench.plan.matrix import Arm, TrialPlan, arms, config_hash, expand
from greenbench.plan.text import print_plan

__all__ = [
    "AROUND_TRAINING_S",
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
