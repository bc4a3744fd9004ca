"""Forward and training FLOPs, memory and parameters of one batch shape, counted on the graph that really runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from greenbench.cost.counter import LiveMemory, OperationCounter, counting
from greenbench.cost.subject import drop_layerdrop, give_targets, make_batch, step_info, twin, untouched_randomness
from greenbench.errors import ConfigError, GreenbenchError
from greenbench.models.registry import own_line

if TYPE_CHECKING:
    from greenbench.models.base import Batch, Upstream

MAX_REAL_PARAMS = 500_000_000
"""A larger model is counted on shapes or not at all."""


@dataclass(frozen=True)
class ForwardCount:
    """One inference: FLOPs in all and by module, parameters in its graph, and what was not counted."""

    flops: float
    by_module: dict[str, float]
    encoder_params: int
    uncounted_calls: Counter[str]
    uncounted_elements: Counter[str]


@dataclass(frozen=True)
class TrainCount:
    """One forward and backward of the loss: FLOPs, and the peak of activations, gradients and temporaries."""

    flops: float
    peak_bytes: int
    virtual: bool


def count_forward(model: Upstream, batch: int, num_samples: int) -> ForwardCount:
    """Count ``hidden_states`` on shapes; a model that cannot run on shapes runs on the CPU on noise.

    Raises :class:`ConfigError` when neither works.
    """
    return _virtual_or_real(model, lambda subject, device: _forward(subject, batch, num_samples, device))


def count_call(model: Upstream, call: Callable[[Upstream, Batch], Any], batch: int, num_samples: int) -> float:
    """Count the FLOPs of ``call(model, batch)`` in evaluation mode without gradients, on shapes or on the CPU."""

    def run(subject: Upstream, device: str) -> float:
        subject.eval()
        crop = make_batch(subject, batch, num_samples, device)
        with torch.no_grad(), counting(virtual=device == "meta") as counter:
            call(subject, crop)
        return counter.flops

    return float(_virtual_or_real(model, run))


def count_training(model: Upstream, batch: int, num_samples: int, *, fraction: float = 0.0) -> TrainCount:
    """Count ``loss`` and its backward pass on shapes, or on the CPU on noise, at ``fraction`` of the budget."""

    def run(subject: Upstream, device: str) -> TrainCount:
        return _training(subject, batch, num_samples, device, fraction)

    return _virtual_or_real(model, run)


def _virtual_or_real(model: Upstream, run: Callable[[Upstream, str], Any]) -> Any:
    with untouched_randomness():
        try:
            return run(twin(model, "meta"), "meta")
        except GreenbenchError:
            raise
        except Exception as error:  # whatever a model of somebody's own does on shapes: some kernels refuse them
            if sum(p.numel() for p in model.parameters()) > MAX_REAL_PARAMS:
                raise _cannot_be_counted(
                    model, "cannot be counted on shapes, and is too large to run here", error
                ) from error
        try:
            return run(twin(model, "cpu"), "cpu")
        except GreenbenchError:
            raise
        except Exception as error:
            raise _cannot_be_counted(model, "can be counted neither on shapes nor on the CPU", error) from error


def _cannot_be_counted(model: Upstream, where: str, error: Exception) -> ConfigError:
    text = (str(error).strip() or "no message").splitlines()[0]
    return ConfigError(
        f"model {type(model).__name__} {where}: {type(error).__name__} in {own_line(error)}: {text}; "
        "greenbench models --check says more"
    )


def _forward(model: Upstream, batch: int, num_samples: int, device: str) -> ForwardCount:
    model.eval()
    crop = make_batch(model, batch, num_samples, device)
    with counting(virtual=device == "meta") as counter, counter.watch(model):
        states = model.hidden_states(crop)
    return ForwardCount(
        counter.flops,
        dict(counter.by_module),
        _reached_parameters(states),
        counter.uncounted_calls,
        counter.uncounted_elements,
    )


def _reached_parameters(outputs: list[Tensor]) -> int:
    """Sum the parameters that the autograd graph of the outputs leads back to."""
    found: dict[int, int] = {}
    seen: set[Any] = set()
    todo = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf.numel()
        todo += [parent for parent, _ in node.next_functions if parent is not None]
    return sum(found.values())


def _training(model: Upstream, batch: int, num_samples: int, device: str, fraction: float) -> TrainCount:
    model.train()
    give_targets(model)
    layerdrop = drop_layerdrop(model)
    crop, info = make_batch(model, batch, num_samples, device), step_info(fraction, device=device)
    model.place_targets(torch.device(device))
    memory = LiveMemory(model)
    with counting(virtual=device == "meta", memory=memory) as counter:
        with counter.watch(model):
            loss, _ = model.loss(crop, info)
        loss.backward()
    skipped = 3.0 * layerdrop * _trunk_flops(model, counter)
    return TrainCount(counter.flops - skipped, memory.peak_bytes, device == "meta")


def _trunk_flops(model: Upstream, counter: OperationCounter) -> float:
    trunk: list[nn.Module] = model.trunk_layers()
    return sum(counter.by_module[name] for name, module in model.named_modules() if any(module is t for t in trunk))
