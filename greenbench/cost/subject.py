"""What is counted: a model without its weights, a batch without its samples, and targets without a corpus."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from greenbench.models.layer_drop import layerdrop_owners
from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.features.spec import FeatureSpec
    from greenbench.models.base import Batch, StepInfo, Upstream


def twin(model: Upstream, device: str) -> Upstream:
    """A copy of the model whose floating point tensors live on ``device``; on ``meta`` they hold no data.

    Nothing of the weights is copied for ``meta``, so that a twin of a large model on a full GPU costs
    nothing. A meta model's CPU twin gets small random weights.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        data = _moved(parameter, device)
        memo[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _moved(buffer, device)
    return copy.deepcopy(model, memo)


def _moved(tensor: Tensor, device: str) -> Tensor:
    tensor = tensor.detach()
    if device == "meta":
        if not tensor.is_floating_point() and not tensor.is_meta:
            return tensor.cpu().clone()
        return torch.empty_like(tensor, device="meta")
    if tensor.is_meta:
        values = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
        return values.uniform_(-0.05, 0.05) if tensor.is_floating_point() else values
    return tensor.to(device, copy=True)


def make_batch(model: Upstream, batch: int, num_samples: int, device: str) -> Batch:
    """A batch of ``batch`` crops: shapes only on ``meta``, else quiet noise."""
    from greenbench.models.base import Batch

    spec = model.feature_spec
    shape = (batch, num_samples) if spec is None else (batch, spec.num_frames(num_samples), spec.dim)
    values = torch.empty(shape, device="meta") if device == "meta" else 0.1 * torch.randn(shape)
    return Batch(
        waveform=values if spec is None else None,
        features=values if spec is not None else None,
        num_samples=num_samples,
        utterances=np.zeros(batch, dtype=np.int64),
        starts=np.zeros(batch, dtype=np.int64),
    )


def step_info(fraction: float = 0.0, *, step: int = 0, seed: int = 0, device: str = "cpu") -> StepInfo:
    """A step with draws and a generator of its own."""
    from greenbench.models.base import StepInfo
    from greenbench.models.draws import Draws

    draws = Draws(seed, step=step, device=device)
    return StepInfo(step=step, fraction=fraction, generator=torch.Generator().manual_seed(seed), draws=draws)


class NoiseData:
    """A corpus of one utterance of noise, for models whose ``make_targets`` must run before their loss can."""

    def __init__(self, model: Upstream, seconds: float = 20.0) -> None:
        generator = np.random.default_rng(0)
        self._waveform = (0.1 * generator.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)
        self._spec = model.feature_spec
        self.num_samples = np.array([len(self._waveform)])

    def waveform(self, index: int) -> np.ndarray:  # noqa: ARG002
        """The noise."""
        return self._waveform

    def features(self, index: int) -> np.ndarray:  # noqa: ARG002
        """Noise of the features' shape."""
        if self._spec is None:
            raise ValueError("the model reads the waveform")
        shape = (self._spec.num_frames(len(self._waveform)), self._spec.dim)
        return np.random.default_rng(1).standard_normal(shape).astype(np.float16)

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        """Noise of other features' shape."""
        shape = (spec.num_frames(len(self._waveform)), spec.dim)
        return lambda _: np.random.default_rng(1).standard_normal(shape).astype(np.float16)


def give_targets(model: Upstream) -> None:
    """Give a model targets of the right form, so that its loss can run without a corpus."""
    model.make_stand_in_targets(NoiseData(model))


def trains(model: Upstream) -> bool:
    """Whether the model has a loss of its own."""
    from greenbench.models.base import Upstream

    return type(model).loss is not Upstream.loss


def stage_fractions(model: Upstream) -> tuple[float, ...]:
    """One budget fraction inside each stage of training; a model without ``stage_fractions`` has one stage."""
    starts = (0.0, *model.stage_fractions)
    return tuple(min(1.0, start + 1e-6) for start in starts)


@contextmanager
def at_stage(model: Upstream, stage: int) -> Iterator[None]:
    """Let a model that trains in stages stand in one of them."""
    if len(stage_fractions(model)) == 1:
        yield
        return
    kept, model.stage = model.stage, stage
    try:
        yield
    finally:
        model.stage = kept


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave torch's CPU generator as it was: counting must not change the training it counts for."""
    with torch.random.fork_rng(devices=[]):
        yield


def drop_layerdrop(model: nn.Module) -> float:
    """Switch random skipping of layers off and return its probability, so that its expectation can be counted."""
    largest = 0.0
    for owner in layerdrop_owners(model):
        largest = max(largest, owner.layerdrop)
        owner.layerdrop = 0.0
    return largest
