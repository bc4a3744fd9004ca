"""Read what every layer of a trunk puts out, whichever library the layers come from and whatever it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def layer_outputs(layers: Iterable[nn.Module], run: Callable[[], Any]) -> list[Tensor]:
    """Call ``run`` and return the first layer's input and each layer's output, in order, each (B, T, D).

    A layer that gives a tuple counts with its first item; layers that did not run leave no entry.
    """
    layers = list(layers)
    captured: list[Tensor] = []

    def first_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        captured.append(args[0] if args else next(iter(kwargs.values())))

    def output(_: nn.Module, __: Any, result: Any) -> None:
        captured.append(result[0] if isinstance(result, tuple) else result)

    handles = [layers[0].register_forward_pre_hook(first_input, with_kwargs=True)]
    handles += [layer.register_forward_hook(output) for layer in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return captured


@contextmanager
def only_layers(encoder: nn.Module, count: int) -> Iterator[nn.ModuleList]:
    """Let an encoder run its first ``count`` layers only (``encoder.layers``); give those."""
    every: Any = encoder.layers
    first: nn.ModuleList = every[:count]
    encoder.layers = first
    try:
        yield first
    finally:
        encoder.layers = every
