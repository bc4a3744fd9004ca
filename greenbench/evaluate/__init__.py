"""What a representation is worth: frozen probes, transfer, and label-free scores.

:func:`evaluate` scores a model on the tasks a corpus' labels allow and says which were left out and why.
"""

from greenbench.evaluate.runner import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
