"""Multilingual pretraining: the same objectives on languages balanced by temperature.

A language with the share p of the audio is drawn with a probability in proportion to p ** alpha: 1 keeps the corpus
as it is, 0 gives every language the same. The batch loader does so (:mod:`greenbench.batches.balance`) when the model
has a ``language_alpha``.
"""

from __future__ import annotations


def check_alpha(alpha: float | None) -> float | None:
    """Pass ``language_alpha`` on; ``ValueError`` where it lies outside of 0 to 1."""
    if alpha is not None and not 0.0 <= alpha <= 1.0:
        raise ValueError(f"language_alpha = {alpha} must lie between 0 (all languages alike) and 1 (as in the corpus)")
    return alpha
