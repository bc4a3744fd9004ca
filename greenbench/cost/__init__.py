"""Parameters, FLOPs and memory: counted on the real graph, cross-checked, with what was missed.

``describe`` and ``against`` are what ``greenbench cost`` prints. Counting itself needs torch:
:mod:`greenbench.cost.model_cost` costs any model in seconds without its weights, :mod:`greenbench.cost.steps` tells a
training loop what a step costs, and :mod:`greenbench.cost.stored` keeps what was counted.
"""

from __future__ import annotations

from greenbench.cost.against import against, format_against
from greenbench.cost.describe import describe, format_cost
from greenbench.cost.figures import Cost

__all__ = ["Cost", "against", "describe", "format_against", "format_cost"]
