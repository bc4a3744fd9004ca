"""FLOPs of a training step, or of a pass, of any batch shape in microseconds, after counting three lengths once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.cost.measure import count_call, count_training
from greenbench.cost.subject import at_stage, stage_fractions
from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.models.base import Batch, Upstream

FIT_SECONDS = (2.0, 8.0, 16.0)


class BatchFlops:
    """FLOPs of forward and backward of one batch: ``flops = batch * (c + a T + b T^2)``.

    ``T`` is the length in samples. Attention is quadratic, all else linear in it, and items of a batch do not meet;
    so three counted lengths determine the curve. A model with stages (``stage_fractions``) has a curve for each, and
    tells by its attribute ``stage`` (0, 1, …) where it stands. Curves are counted when first needed.
    """

    def __init__(self, model: Upstream, *, fit_seconds: tuple[float, float, float] = FIT_SECONDS) -> None:
        self._model = model
        self._lengths = [round(seconds * SAMPLE_RATE) for seconds in fit_seconds]
        self._fractions = stage_fractions(model)
        self._curves: dict[int, tuple[float, float, float]] = {}
        self.virtual = True

    def __call__(self, batch: int, num_samples: int) -> float:
        """The FLOPs of one forward and backward of ``batch`` crops of ``num_samples`` samples."""
        stage = self._model.stage if len(self._fractions) > 1 else 0
        curve = self._curves.get(stage)
        if curve is None:
            curve = self._curves[stage] = self._fit(stage)
        return _at(curve, batch, num_samples)

    def prepare(self) -> None:
        """Count all stages now, so that no step waits for it."""
        for stage in range(len(self._fractions)):
            self._curves[stage] = self._curves.get(stage) or self._fit(stage)

    def _fit(self, stage: int) -> tuple[float, float, float]:
        fraction = self._fractions[stage]
        with at_stage(self._model, stage):
            counts = [count_training(self._model, 1, n, fraction=fraction) for n in self._lengths]
        self.virtual = all(count.virtual for count in counts)
        return _curve(self._lengths, [count.flops for count in counts])


class PassFlops:
    """FLOPs of ``call`` (by default ``target_features``) on one batch, without gradients; counted when first needed."""

    def __init__(
        self,
        model: Upstream,
        *,
        call: Callable[[Upstream, Batch], Any] | None = None,
        fit_seconds: tuple[float, float, float] = FIT_SECONDS,
    ) -> None:
        self._model = model
        self._call = call or (lambda subject, crop: subject.target_features(crop))
        self._lengths = [round(seconds * SAMPLE_RATE) for seconds in fit_seconds]
        self._found: tuple[float, float, float] | None = None

    def __call__(self, batch: int, num_samples: int) -> float:
        """The FLOPs of one pass of ``batch`` crops of ``num_samples`` samples."""
        if self._found is None:
            flops = [count_call(self._model, self._call, 1, n) for n in self._lengths]
            self._found = _curve(self._lengths, flops)
        return _at(self._found, batch, num_samples)


def through_three(lengths: list[int], flops: list[float]) -> Callable[[int], float]:
    """The FLOPs of one crop as a parabola of its length in samples, through three counts."""
    curve = _curve(lengths, flops)
    return lambda num_samples: _at(curve, 1, num_samples)


def _curve(lengths: list[int], flops: list[float]) -> tuple[float, float, float]:
    """Constant, linear and quadratic part through three counts."""
    scale = float(lengths[-1])
    relative = np.array(lengths, dtype=np.float64) / scale
    solved = np.linalg.solve(np.vander(relative, 3, increasing=True), flops)
    return float(solved[0]), float(solved[1]) / scale, float(solved[2]) / scale**2


def _at(curve: tuple[float, float, float], batch: int, num_samples: int) -> float:
    constant, linear, quadratic = curve
    return batch * (constant + num_samples * (linear + num_samples * quadratic))
