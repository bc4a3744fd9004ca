"""``greenbench compare``: paired verdicts per metric between runs that may be compared, and along a ladder."""

from greenbench.compare.comparable import check_comparable
from greenbench.compare.ladder import ladder
from greenbench.compare.table import Comparison, compare, compare_arms
from greenbench.compare.text import print_comparisons, print_ladder

__all__ = ["Comparison", "check_comparable", "compare", "compare_arms", "ladder", "print_comparisons", "print_ladder"]
