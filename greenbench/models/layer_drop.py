"""Layer drop: in training a step leaves encoder layers out at random (LayerDrop, arXiv 1909.11556)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from greenbench.errors import ConfigError
from greenbench.models.base import Upstream
from greenbench.models.wrap import wrap_layers


def drop_layers(model: Upstream, rate: float) -> None:
    """Make a training step skip each encoder layer with probability ``rate``; evaluation uses all of them.

    Encoders with a ``layerdrop`` of their own (those of ``transformers``) get this rate; of others each of
    ``trunk_layers``, which must map a tensor to one of the same shape, passes its input on when skipped. Draws come
    from torch's generator, which checkpoints keep.

    Raises:
        ConfigError: the model has neither.
    """
    owners = list(layerdrop_owners(model))
    for owner in owners:
        owner.layerdrop = rate
    if owners:
        return
    layers: list[Any] = list(model.trunk_layers())
    if not layers:
        raise ConfigError(f"[train] layer_drop: {type(model).__name__} names no trunk_layers(); set it to 0")
    wrap_layers(layers, _skip_at_random)
    for layer in layers:
        layer.layerdrop = rate


def layerdrop_owners(model: nn.Module) -> Iterator[Any]:
    """Find the modules and configurations that hold a probability of skipping as ``layerdrop``."""
    for module in model.modules():
        for owner in (getattr(module, "config", None), module):
            if isinstance(getattr(owner, "layerdrop", None), float):
                yield owner


def _skip_at_random(layer: Any, forward: Callable[..., Any], frames: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if layer.training and layer.layerdrop and float(torch.rand(())) < layer.layerdrop:
        return frames
    return forward(frames, *args, **kwargs)
