"""Something of one's own around the forward pass of single layers, whatever library they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

Around = Callable[..., Any]
"""``around(layer, forward, *args, **kwargs)`` returns what the layer returns; ``forward`` is the layer's own."""


def wrap_layers(layers: Iterable[nn.Module], around: Around) -> None:
    """Let each layer's ``forward`` go through ``around``. Layers keep their types, names and parameters.

    Deep copies of a model run their own layers: what is put in place holds the layer as an attribute, which copying
    follows, and not in a closure, which it would share. Layers can be wrapped more than once.
    """
    for layer in layers:
        layer.forward = _Wrapped(layer, layer.forward, around)


class _Wrapped:
    def __init__(self, layer: nn.Module, forward: Callable[..., Any], around: Around) -> None:
        self.layer, self.forward, self.around = layer, forward, around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.around(self.layer, self.forward, *args, **kwargs)
