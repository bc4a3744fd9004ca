"""Activation checkpointing: keep only the inputs of encoder layers and compute their insides again in the backward."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from greenbench.errors import ConfigError
from greenbench.models.base import Upstream


def checkpoint_activations(model: Upstream) -> None:
    """Make every layer of ``trunk_layers`` compute its activations again in the backward pass.

    Less memory for about a third more computation; gradients stay the same, dropout included.
    Raises :class:`ConfigError` for a model that names no layers.
    """
    layers = model.trunk_layers()
    if not layers:
        raise ConfigError(
            f"[train] activation_checkpointing: {type(model).__name__} names no trunk_layers(); set it to false"
        )
    for layer in layers:
        _wrap(layer)


def _wrap(layer: nn.Module) -> None:
    inner = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not layer.training:
            return inner(*args, **kwargs)
        return checkpoint(inner, *args, use_reentrant=False, **kwargs)

    layer.forward = forward  # type: ignore[method-assign]
