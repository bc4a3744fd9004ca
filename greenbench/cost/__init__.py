"""Parameters, FLOPs and memory: counted on the real graph, cross-checked, with what was missed.

``count`` costs any model in seconds without its weights, ``BatchFlops`` tells a training loop what a step costs, and
``describe`` is what ``greenbench cost`` prints.
"""

from __future__ import annotations

from greenbench.cost.describe import describe, format_cost
from greenbench.cost.model_cost import Cost, count
from greenbench.cost.steps import BatchFlops, PassFlops

__all__ = ["BatchFlops", "Cost", "PassFlops", "count", "describe", "format_cost"]
