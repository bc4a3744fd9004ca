"""What is counted: a model without its weights, a batch without its samples, and targets without a corpus."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.features.spec import FeatureSpec
    from greenbench.models.base import Batch, StepInfo, Upstream


def twin(model: Upstream, device: str) -> Upstream:
    """Return a copy of the model whose floating point tensors live on ``device``; on ``meta`` they hold no data.

    Nothing of the weights is copied for ``meta``, and unit labels are shared, so that a twin of a large model on a
    full GPU costs nothing. A meta model's CPU twin gets small random weights.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        data = _moved(parameter, device)
        memo[id(parameter)] = nn.Parameter(data, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _moved(buffer, device)
    labels = getattr(model, "labels", None)
    if labels is not None:
        memo[id(labels)] = labels
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
    """Return a batch of ``batch`` crops: shapes only on ``meta``, else quiet noise."""
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


def step_info(fraction: float = 0.0) -> StepInfo:
    """Return a step with a generator of its own."""
    from greenbench.models.base import StepInfo

    return StepInfo(step=0, fraction=fraction, generator=torch.Generator().manual_seed(0))


class NoiseData:
    """A corpus of one utterance of noise, for models whose ``make_targets`` must run before their loss can."""

    def __init__(self, model: Upstream, seconds: float = 20.0) -> None:
        generator = np.random.default_rng(0)
        self._waveform = (0.1 * generator.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)
        self._spec = model.feature_spec
        self.num_samples = np.array([len(self._waveform)])

    def waveform(self, index: int) -> np.ndarray:  # noqa: ARG002
        """Return the noise."""
        return self._waveform

    def features(self, index: int) -> np.ndarray:  # noqa: ARG002
        """Return noise of the features' shape."""
        if self._spec is None:
            raise ValueError("the model reads the waveform")
        shape = (self._spec.num_frames(len(self._waveform)), self._spec.dim)
        return np.random.default_rng(1).standard_normal(shape).astype(np.float16)

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        """Return noise of other features' shape."""
        shape = (spec.num_frames(len(self._waveform)), spec.dim)
        return lambda _: np.random.default_rng(1).standard_normal(shape).astype(np.float16)


def give_targets(model: Upstream) -> None:
    """Give a model that lacks them targets of the right form: constant unit labels, else made from noise.

    A model that labels crops as they come (``labels_crops``) is left to do so, or its operations would go uncounted.
    """
    from greenbench.models.base import Upstream
    from greenbench.models.kmeans import UnitLabels

    if isinstance(getattr(model, "labels", None), UnitLabels) or getattr(model, "labels_crops", False):
        return
    if hasattr(model, "labels"):
        model.labels = UnitLabels(np.zeros(8), np.array([0, 8]), hop_samples=320)  # type: ignore[assignment]
    elif type(model).make_targets is not Upstream.make_targets:
        model.make_targets(NoiseData(model), seed=0, device=torch.device("cpu"), progress=lambda *_: None)


def trains(model: Upstream) -> bool:
    """Return whether the model has a loss of its own."""
    from greenbench.models.base import Upstream

    return type(model).loss is not Upstream.loss


def stage_fractions(model: Upstream) -> tuple[float, ...]:
    """Return one budget fraction inside each stage of training; a model without ``stage_fractions`` has one stage.

    ``stage_fractions`` are the fractions at which a later stage begins, for a model that trains its own teacher.
    """
    starts = (0.0, *getattr(model, "stage_fractions", ()))
    return tuple(min(1.0, start + 1e-6) for start in starts)


@contextmanager
def at_stage(model: Upstream, stage: int) -> Iterator[None]:
    """Let a model that trains in stages stand in one of them, as far as its attribute ``stage`` says where it is."""
    if len(stage_fractions(model)) == 1:
        yield
        return
    staged: Any = model
    kept = staged.stage
    staged.stage = stage
    try:
        yield
    finally:
        staged.stage = kept


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave torch's CPU generator as it was: counting must not change the training it counts for."""
    with torch.random.fork_rng(devices=[]):
        yield


def drop_layerdrop(model: nn.Module) -> float:
    """Switch random skipping of layers off and return its probability, so that its expectation can be counted."""
    largest = 0.0
    for module in model.modules():
        for owner in (getattr(module, "config", None), module):
            rate = getattr(owner, "layerdrop", 0.0)
            if isinstance(rate, float) and rate > 0.0:
                largest = max(largest, rate)
                owner.layerdrop = 0.0  # type: ignore[union-attr]
    return largest
