"""What a model is given: crops of equal length, so nothing is padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from greenbench.units import SAMPLE_RATE


@dataclass
class Batch:
    """Crops of equal length.

    Shapes: ``waveform`` (B, S) float32 in [-1, 1] at 16 kHz, ``features`` (B, T, F) float32 normalised with the
    corpus' mean and standard deviation; each is None unless the model asked for it. ``utterances`` (B,) are indices
    into the pretraining split, ``starts`` (B,) the crops' first samples (a multiple of 320). ``origins`` (B, 2) int64
    holds both on the device of the rest, where a loader has put them there.
    """

    waveform: Tensor | None
    features: Tensor | None
    num_samples: int
    utterances: np.ndarray
    starts: np.ndarray
    origins: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of crops."""
        return len(self.utterances)

    @property
    def audio_s(self) -> float:
        """The seconds of audio in the batch."""
        return self.size * self.num_samples / SAMPLE_RATE
