"""``greenbench compare``: paired verdicts between comparable runs, along a ladder, and against random weights."""

from greenbench.compare.comparable import check_comparable
from greenbench.compare.ladder import ladder
from greenbench.compare.own_random import own_random
from greenbench.compare.table import Comparison, compare, compare_arms, quality_gate, runs_needed
from greenbench.compare.text import print_comparisons, print_ladder, print_own_random

__all__ = [
    "Comparison",
    "check_comparable",
    "compare",
    "compare_arms",
    "ladder",
    "own_random",
    "print_comparisons",
    "print_ladder",
    "print_own_random",
    "quality_gate",
    "runs_needed",
]
