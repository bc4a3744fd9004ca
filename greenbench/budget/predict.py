"""The cost of the next step from a running upper quantile, and the size that the last steps must shrink to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

WINDOW = 64
QUANTILE = 0.9
FIXED_SHARE = 0.1
"""Share of a step's cost that does not shrink with its batch (optimizer, dispatch). A guess that only the landing
uses; it is corrected after each shrunken step."""
_PRIOR = 0.3
MIN_SHARE = 1 / 32
FINE_STEP = 0.0025
"""Steps below this part of the budget are never shrunk: the shortfall is smaller than a step."""
CLOSE_ENOUGH = 0.003
"""A clocked budget of which this part is left counts as spent."""
FINAL_APPROACH = 0.006
TOLERABLE = 0.008


class StepPredictor:
    """Costs of the last steps as a full step would have had them, in seconds, joules, FLOPs and seconds of audio.

    A session's first step carries one-off work (allocation, autotuning, lazy compilation); its duration is used only
    until a second step is known.
    """

    def __init__(self, carried: Mapping[str, Any] | None = None) -> None:
        carried = carried or {}
        self._windows = {
            name: deque((float(v) for v in carried.get(name, ())), maxlen=WINDOW)
            for name in ("seconds", "joules", "flops", "audio_s")
        }
        self._fixed_evidence = [float(v) for v in carried.get("fixed", (FIXED_SHARE * _PRIOR, _PRIOR))]
        self._first: tuple[float, float] | None = None
        self._steps_in_session = 0

    def state(self) -> dict[str, Any]:
        """Plain JSON data from which an equal predictor is made."""
        return {**{name: list(window) for name, window in self._windows.items()}, "fixed": self._fixed_evidence}

    def observe(self, share: float, *, seconds: float, joules: float, flops: float, audio_s: float) -> None:
        """Book a step that ran at ``share`` of a full batch and cost this much."""
        self._windows["flops"].append(flops / share)
        self._windows["audio_s"].append(audio_s / share)
        self._steps_in_session += 1
        if self._steps_in_session == 1:
            self._first = (seconds / self.relative_cost(share), joules / self.relative_cost(share))
            return
        if share < 1 and self._windows["seconds"]:
            self._learn_fixed_share(share, seconds)
        self._windows["seconds"].append(seconds / self.relative_cost(share))
        self._windows["joules"].append(joules / self.relative_cost(share))

    def counted(self, name: str) -> float | None:
        """The FLOPs or audio seconds of a full step; the largest seen lately."""
        return max(self._windows[name], default=None)

    def seconds(self) -> float | None:
        """The upper quantile of a full step's seconds."""
        if self._windows["seconds"]:
            return upper_quantile(list(self._windows["seconds"]))
        return self._first[0] if self._first else None

    def typical_ratio(self) -> float:
        """The median step's seconds in relation to the upper quantile's, 0..1."""
        values = sorted(self._windows["seconds"])
        upper = self.seconds()
        return values[len(values) // 2] / upper if values and upper else 1.0

    def joules(self) -> float | None:
        """The upper quantile of a full step's seconds times the mean power of the window.

        Not the quantile of joules: a counter that moves ten times a second gives short steps nothing or a burst.
        """
        if not self._windows["seconds"]:
            return self._first[1] if self._first else None
        duration_s = sum(self._windows["seconds"])
        power_w = sum(self._windows["joules"]) / duration_s if duration_s > 0 else 0.0
        return (self.seconds() or 0.0) * power_w

    def relative_cost(self, share: float) -> float:
        """The cost of a step with ``share`` of the batch, relative to a full one."""
        return self._fixed + (1 - self._fixed) * share

    def share_for(self, relative_cost: float) -> float:
        """The share of the batch whose step costs this much, relative to a full one; may be negative."""
        return (relative_cost - self._fixed) / (1 - self._fixed)

    def _learn_fixed_share(self, share: float, seconds: float) -> None:
        values = sorted(self._windows["seconds"])
        median = values[len(values) // 2]
        if median > 0:  # least squares of (relative cost - share) on (1 - share), with the guess as prior
            self._fixed_evidence[0] += (1 - share) * (seconds / median - share)
            self._fixed_evidence[1] += (1 - share) ** 2

    @property
    def _fixed(self) -> float:
        return min(0.6, max(0.0, self._fixed_evidence[0] / self._fixed_evidence[1]))


def upper_quantile(values: list[float], q: float = QUANTILE) -> float:
    """The ``q`` quantile, rounded up to a value that was seen."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def counted_share(remaining: float, step_cost: float, limit: float) -> float:
    """The next step's share for a counted currency, where cost is proportional to the batch.

    The last two steps are made equal, so that no tiny batch is left over: 1.1 steps become 0.55 and 0.55. A tiny one
    is run only where leaving it out would show.
    """
    steps_left = remaining / step_cost
    if steps_left >= 2:
        return 1.0
    share = steps_left if steps_left <= 1 else steps_left / 2
    return share if share >= MIN_SHARE or remaining > TOLERABLE * limit else 0.0


def clocked_share(
    remaining: float, step_cost: float, typical_cost: float, limit: float, predictor: StepPredictor
) -> float:
    """The next step's share for a currency read from a clock or sensor.

    Fine steps run whole until one no longer fits. Coarse ones land: a step takes at most half of what is left, so one
    that turns out twice as slow as foreseen still fits, until a last approach takes the rest.
    """
    if remaining < step_cost <= FINE_STEP * limit or remaining <= CLOSE_ENOUGH * limit:
        return 0.0
    if step_cost <= FINE_STEP * limit or remaining >= 2 * step_cost:
        return 1.0
    parts = (1.0,) if remaining <= FINAL_APPROACH * limit else (0.5, 1.0)
    for part in parts:
        share = predictor.share_for(part * remaining / step_cost)
        if share >= MIN_SHARE:
            return min(1.0, share)
    # Even the smallest step is foreseen not to fit. It is run where it would miss by less than stopping does.
    smallest = predictor.relative_cost(MIN_SHARE)
    closer = smallest * typical_cost < 2 * remaining
    bounded = smallest * step_cost - remaining < TOLERABLE * limit or remaining > 0.01 * limit
    return MIN_SHARE if closer and bounded else 0.0


def shrink(size: int, num_samples: int, share: float, *, hop: int = 320, min_samples: int = 8_000) -> tuple[int, int]:
    """``(crops, samples per crop)`` of a batch cut to ``share`` of its audio, never above it.

    First crops are dropped, then all that stay are shortened equally, to a multiple of ``hop``. Crops do not get
    shorter than ``min_samples`` (or than they were); at least one crop of that length is kept.
    """
    if share >= 1:
        return size, num_samples
    audio = share * size * num_samples
    shortest = min(min_samples, num_samples) // hop * hop or num_samples
    crops = min(size, -int(-audio // num_samples))
    crops = max(1, min(crops, int(audio // shortest)))
    return crops, max(shortest, min(num_samples, int(audio / crops) // hop * hop))
