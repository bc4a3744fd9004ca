"""How a log-mel model reads its input: as it is, normalised over the utterance, or freed of the vocal tract as well.

eco reads through the units it predicts. With this option any other log-mel model reads alike, so that a comparison
tells what is learnt from what is merely read better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from greenbench.features.spec import FeatureSpec
from greenbench.models.augment_mel import normalise_bands
from greenbench.models.base import PretrainData
from greenbench.models.context_units import ContextSpec, ContextUnits
from greenbench.models.kmeans import sample_utterances

Reads = Literal["plain", "utterance", "tract"]
COARSE_BANDS = 20
"""Bands that vocal tracts are told apart by, as in eco."""


@dataclass(frozen=True)
class MelInputs:
    """``plain`` log-mel frames; each band with mean 0 and deviation 1 over the ``utterance``; or that under the
    vocal ``tract`` length that fits ``units`` k-means units best, which are fitted to ``fit_seconds`` of audio.
    """

    reads: Reads = "plain"
    units: int = 400
    fit_seconds: float = 900.0


class MelReading(nn.Module):
    """Log-mel frames as :class:`MelInputs` says. What was fitted lies in buffers, so that checkpoints carry it."""

    def __init__(self, inputs: MelInputs, features: FeatureSpec) -> None:
        super().__init__()
        self.inputs = inputs
        context = ContextSpec(pool=max(1, features.n_mels // COARSE_BANDS))
        self.found = ContextUnits(context, features, inputs.units) if inputs.reads == "tract" else None

    @property
    def flops(self) -> float:
        """What finding the units has cost so far."""
        return 0.0 if self.found is None else self.found.flops

    def fit(self, data: PretrainData, *, seed: int) -> None:
        """Find the units, where any are needed."""
        if self.found is not None:
            chosen = sample_utterances(data.num_samples, self.inputs.fit_seconds, seed=seed)
            self.found.fit(data.features, chosen, seed=seed)

    def forward(self, features: Tensor) -> Tensor:
        """Utterances or crops as the model reads them, (B, T, F)."""
        if self.inputs.reads == "plain":
            return features
        return normalise_bands(features if self.found is None else self.found.normalise_tract(features))

    def macs(self, frames: int) -> float:
        """The multiply-accumulates of reading one utterance of so many 10 ms frames."""
        return 0.0 if self.found is None else self.found.choosing_macs(frames)
