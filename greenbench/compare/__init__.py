"""``greenbench compare BASE NEW``: paired verdicts per metric between runs that may be compared."""

from greenbench.compare.comparable import check_comparable
from greenbench.compare.table import Comparison, compare, compare_arms
from greenbench.compare.text import print_comparisons

__all__ = ["Comparison", "check_comparable", "compare", "compare_arms", "print_comparisons"]
