"""The learning rate as a function of the spent fraction of the budget, so one recipe serves any currency and size."""

from __future__ import annotations

from greenbench.cards import Recipe

WARMUP_START = 0.1
"""The warm-up begins here, not at 0, so that the first update of a short run is not lost."""


def learning_rate_factor(fraction: float, recipe: Recipe) -> float:
    """The factor on the peak rate at ``fraction`` (0..1, clipped) of the budget.

    It rises linearly over ``warmup_fraction``, stays at 1, and falls linearly over the last ``decay_fraction`` to
    ``final_lr_ratio``. Where the two overlap the warm-up is finished first.
    """
    position = min(1.0, max(0.0, fraction))
    warmup = min(1.0, recipe.warmup_fraction)
    if position < warmup:
        return WARMUP_START + (1 - WARMUP_START) * position / warmup
    decay_start = max(warmup, 1.0 - recipe.decay_fraction)
    if position <= decay_start:
        return 1.0 if decay_start < 1.0 or recipe.decay_fraction <= 0 else recipe.final_lr_ratio
    done = (position - decay_start) / (1.0 - decay_start)
    return 1.0 + (recipe.final_lr_ratio - 1.0) * done
