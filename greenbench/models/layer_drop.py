"""Layer drop: in training a step leaves encoder layers out at random (LayerDrop, arXiv 1909.11556)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from greenbench.errors import ConfigError
from greenbench.models.base import Upstream


def drop_layers(model: Upstream, rate: float) -> None:
    """Make a training step skip each encoder layer with probability ``rate``; evaluation uses all of them.

    Encoders with a ``layerdrop`` of their own (those of ``transformers``) get this rate; of others each of
    ``trunk_layers``, which must map a tensor to one of the same shape, passes its input on when skipped. Draws come
    from torch's generator, which checkpoints keep.

    Raises :class:`ConfigError` for a model that has neither.
    """
    owners: list[Any] = [o for m in model.modules() for o in (getattr(m, "config", None), m) if _has_own_rate(o)]
    for owner in owners:
        owner.layerdrop = rate
    if owners:
        return
    layers = model.trunk_layers()
    if not layers:
        raise ConfigError(f"[train] layer_drop: {type(model).__name__} names no trunk_layers(); set it to 0")
    for layer in layers:
        # A subclass, not a patched method: copies of the model skip their own layers, and names and types stay.
        layer.__class__ = type(type(layer).__name__, (_Skipped, type(layer)), {})
        layer.layerdrop = rate  # type: ignore[assignment]


def _has_own_rate(owner: Any) -> bool:
    return isinstance(getattr(owner, "layerdrop", None), float)


class _Skipped(nn.Module):
    """A layer that training skips at random."""

    layerdrop: float

    def forward(self, frames: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return the layer's output, or its input."""
        if self.training and self.layerdrop and float(torch.rand(())) < self.layerdrop:
            return frames
        return super().forward(frames, *args, **kwargs)
