"""Features computed again each time they are asked for: what storing them saves is what these cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from greenbench.features.spec import FeatureSpec
from greenbench.features.store import Statistics, normalise, raw_features
from greenbench.features.waveforms import WaveformStore
from greenbench.units import SAMPLE_RATE

STATISTICS_S = 600.0
"""Seconds of audio from which mean and deviation are estimated: nothing is read in full before training."""
_DEVIATION_FLOOR = 1e-3


@dataclass
class FeaturesOnTheFly:
    """The features of a split, none of them kept.

    ``mean`` and ``std`` (F,) float32 are estimated on utterances spread over the split. Crops are computed from
    cropped waveforms, so that their first and last frame see a reflection where stored features see the neighbours.
    """

    store: WaveformStore
    spec: FeatureSpec
    mean: np.ndarray
    std: np.ndarray
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    computed_s: float = 0.0
    """Seconds of audio whose features :meth:`features` and the estimate of the statistics have computed so far."""

    @classmethod
    def prepare(
        cls, store: WaveformStore, spec: FeatureSpec, *, device: torch.device | str = "cpu"
    ) -> FeaturesOnTheFly:
        """Estimate the normalisation of a split."""
        self = cls(store, spec, np.zeros(spec.dim, np.float32), np.ones(spec.dim, np.float32), torch.device(device))
        if spec.normalise == "global":
            self.mean, self.std = self._estimate()
        return self

    def features(self, index: int) -> np.ndarray:
        """Compute one utterance's features, (T, F) float16."""
        return self.normalise(self._raw(index)).to(torch.float16).cpu().numpy()

    def normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the normalisation to features (…, T, F)."""
        return normalise(features, self.spec, (self.mean, self.std))

    def _raw(self, index: int) -> torch.Tensor:
        samples = self.store.samples(index)
        self.computed_s += len(samples) / SAMPLE_RATE
        return raw_features([samples], self.spec, self.device)

    def _estimate(self) -> Statistics:
        lengths_s = self.store.num_samples / SAMPLE_RATE
        stride = max(1, int(lengths_s.sum() / STATISTICS_S))
        total, squares, count = np.zeros(self.spec.dim), np.zeros(self.spec.dim), 0
        for index in range(0, len(lengths_s), stride):
            frames = self._raw(index).cpu().numpy().astype(np.float64)
            total, squares, count = total + frames.sum(0), squares + np.square(frames).sum(0), count + len(frames)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0.0))
        return mean.astype(np.float32), np.maximum(deviation, _DEVIATION_FLOOR).astype(np.float32)
