"""Where the hidden states of an adaptation's step come from: the model, or a cache of its frozen frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from greenbench.evaluate.context import Context
from greenbench.evaluate.representation import HOP_SAMPLES, Frames, make_batch
from greenbench.evaluate.transfer.strategies import Adapted
from greenbench.evaluate.transfer.tasks import Crops


class Source(Protocol):
    """Where a step's hidden states come from: the model, or a cache of its frozen frames."""

    def states(self, crops: Crops) -> list[Tensor]:
        """Hidden states layer by layer, each (B, T, D)."""


@dataclass
class Live:
    """Hidden states from the (adapted) model."""

    context: Context
    adapted: Adapted
    audio: Sequence[np.ndarray]

    def states(self, crops: Crops) -> list[Tensor]:
        """Run the model on the crops."""
        return self.of_waveforms(torch.from_numpy(crop_waveforms(self.audio, crops)))

    def of_waveforms(self, waveforms: Tensor) -> list[Tensor]:
        """Run the model on waveforms (B, S)."""
        waveforms = waveforms.to(self.context.device)
        return self.adapted.states(make_batch(waveforms, self.context.model, self.context.featurize))


@dataclass
class Cached:
    """Hidden states from frames that were extracted once."""

    frames: Frames
    device: torch.device

    def states(self, crops: Crops) -> list[Tensor]:
        """Cut the crops out of the cache."""
        count, firsts = crops.num_samples // HOP_SAMPLES, crops.starts // HOP_SAMPLES
        begins = self.frames.offsets[crops.positions] + firsts
        rows = begins[:, None] + np.arange(count)
        return [torch.from_numpy(layer[rows]).to(self.device).float() for layer in self.frames.layers]


@dataclass
class Audio:
    """A task's audio as a store."""

    audio: Sequence[np.ndarray]

    def waveform(self, index: int) -> np.ndarray:
        """One utterance."""
        return self.audio[index]


def crop_waveforms(audio: Sequence[np.ndarray], crops: Crops) -> np.ndarray:
    """The crops' samples, (B, S)."""
    pairs = zip(crops.positions, crops.starts, strict=True)
    return np.stack([audio[p][s : s + crops.num_samples] for p, s in pairs])
