"""Parameters, FLOPs and memory: counted on the real graph, cross-checked, with what was missed.

``count`` costs any model in seconds without its weights, ``BatchFlops`` tells a training loop what a step costs,
``PassFlops`` what a forward pass costs, and ``describe`` and ``against`` are what ``greenbench cost`` prints.
"""

from __future__ import annotations

from greenbench.cost.against import against, format_against
from greenbench.cost.describe import describe, format_cost
from greenbench.cost.model_cost import Cost, count
from greenbench.cost.steps import BatchFlops, PassFlops

__all__ = ["BatchFlops", "Cost", "PassFlops", "against", "count", "describe", "format_against", "format_cost"]
