"""Frozen hidden states of a set of utterances, extracted once, brought to 50 frames per second and kept as float16.

Models have no padding masks, so only utterances of exactly equal length share a batch: lengths are rounded down to
20 ms (at most the last 19.9 ms of an utterance are not heard) and nothing is ever padded.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from greenbench.errors import TrialFailed
from greenbench.models.base import Batch, Upstream
from greenbench.progress import Progress
from greenbench.units import SAMPLE_RATE

LABEL_HZ = 50
HOP_SAMPLES = SAMPLE_RATE // LABEL_HZ
SHORTEST_SAMPLES = 2 * HOP_SAMPLES
_MEMORY_LIMIT_BYTES = 2 * 1024**3
_BATCH_SECONDS = 24.0
_FLOAT16_MAX = 65_504.0

Featurize = Callable[[Tensor], "Tensor | None"]


def silent(_text: str, _fraction: float) -> None:
    """Report nothing."""


class Waveforms(Protocol):
    """Where audio comes from: utterances by index."""

    def waveform(self, index: int) -> np.ndarray:
        """One utterance, (S,) float32 at 16 kHz."""


@dataclass
class Frames:
    """Hidden states of utterances, one after the other.

    ``layers`` is (L, N, D) float16 (on disk where large), ``offsets`` (U + 1,) says where each utterance begins.
    Layers narrower than the widest are filled up with zeros.
    """

    layers: np.ndarray
    offsets: np.ndarray
    seconds: float

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return int(self.layers.shape[0])

    @property
    def width(self) -> int:
        """The width of the widest layer."""
        return int(self.layers.shape[2])

    def rows(self, utterances: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frame numbers of some utterances, in their order."""
        parts = [np.arange(self.offsets[u], self.offsets[u + 1]) for u in utterances]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Cut an array with one entry per frame into one piece per utterance."""
        return np.split(values, self.offsets[1:-1])


def frame_count(num_samples: int) -> int:
    """How many whole 20 ms frames fit."""
    return num_samples // HOP_SAMPLES


def to_label_rate(hidden: Tensor, frame_hz: float, frames: int) -> Tensor:
    """Bring (B, T, D) at ``frame_hz`` to (B, frames, D) at 50 Hz.

    Slower hidden states are repeated (each 20 ms frame takes the state that covers its centre), faster ones averaged.
    """
    if hidden.shape[1] == 0:
        raise TrialFailed("hidden_states returned no frame for an utterance; check the model's frame rate")
    last = hidden.shape[1] - 1
    if frame_hz <= LABEL_HZ:
        index = ((torch.arange(frames, dtype=torch.float64) + 0.5) * (frame_hz / LABEL_HZ)).floor().long()
        return hidden[:, index.clamp(max=last).to(hidden.device)]
    edges = (torch.arange(frames + 1, dtype=torch.float64) * (frame_hz / LABEL_HZ)).round().long()
    first = edges[:-1].clamp(max=last)
    end = torch.maximum(edges[1:].clamp(max=last + 1), first + 1)
    total = torch.cat([torch.zeros_like(hidden[:, :1]), hidden], dim=1).cumsum(dim=1, dtype=torch.float64)
    mean = (total[:, end] - total[:, first]) / (end - first).to(hidden.device).unsqueeze(-1)
    return mean.to(hidden.dtype)


def make_batch(waveforms: Tensor, model: Upstream, featurize: Featurize) -> Batch:
    """The batch a model reads for equally long waveforms (B, S)."""
    rows = waveforms.shape[0]
    return Batch(
        waveform=waveforms if model.feature_spec is None else None,
        features=None if model.feature_spec is None else featurize(waveforms),
        num_samples=int(waveforms.shape[1]),
        utterances=np.full(rows, -1),
        starts=np.zeros(rows, dtype=np.int64),
    )


def label_rate_states(model: Upstream, batch: Batch) -> list[Tensor]:
    """The model's hidden states at 50 Hz, each (B, frames, D)."""
    frames = frame_count(batch.num_samples)
    return [to_label_rate(state, model.frame_hz, frames) for state in model.hidden_states(batch)]


def equal_length_batches(lengths: Sequence[int], seconds: float = _BATCH_SECONDS) -> list[list[int]]:
    """Group positions by exact length, longest first, at most ``seconds`` of audio in a group."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position, length in enumerate(lengths):
        groups[length].append(position)
    batches = []
    for length, members in sorted(groups.items(), reverse=True):
        size = max(1, int(seconds * SAMPLE_RATE / length))
        batches += [members[i : i + size] for i in range(0, len(members), size)]
    return batches


def extract(
    model: Upstream,
    waveforms: Waveforms,
    indices: Sequence[int],
    featurize: Featurize,
    *,
    device: torch.device,
    progress: Progress = silent,
    folder: Path | None = None,
) -> Frames:
    """The frozen hidden states of the utterances ``indices``, in that order.

    Raises :class:`TrialFailed` if the model gives values that are not finite (its training diverged).
    """
    audio = [whole_frames(waveforms.waveform(i)) for i in indices]
    lengths = [len(a) for a in audio]
    offsets = np.concatenate([[0], np.cumsum([frame_count(n) for n in lengths])]).astype(np.int64)
    layers: np.ndarray | None = None
    model.eval()
    done = 0
    with torch.inference_mode():
        for group in equal_length_batches(lengths):
            wave = torch.from_numpy(np.stack([audio[p] for p in group])).to(device)
            states = label_rate_states(model, make_batch(wave, model, featurize))
            if layers is None:
                layers = _allocate(len(states), int(offsets[-1]), max(s.shape[-1] for s in states), folder)
            _store(states, layers, offsets, group)
            done += len(group)
            progress("hidden states", done / len(indices))
    if layers is None:
        raise TrialFailed("no utterance to evaluate on")
    return Frames(layers, offsets, sum(lengths) / SAMPLE_RATE)


def whole_frames(waveform: np.ndarray) -> np.ndarray:
    """Cut to whole 20 ms frames; a clip below two frames is repeated to that length, as nothing could read it."""
    if len(waveform) < SHORTEST_SAMPLES:
        waveform = np.resize(waveform, SHORTEST_SAMPLES)
    return np.asarray(waveform[: len(waveform) // HOP_SAMPLES * HOP_SAMPLES], dtype=np.float32)


def _allocate(count: int, frames: int, width: int, folder: Path | None) -> np.ndarray:
    shape = (count, frames, width)
    if 2 * count * frames * width <= _MEMORY_LIMIT_BYTES:
        return np.zeros(shape, dtype=np.float16)
    # Unlinked at once: the space is given back when the array goes, whatever happens to the process.
    with tempfile.NamedTemporaryFile(dir=folder, prefix="greenbench-frames-") as file:
        return np.memmap(file, dtype=np.float16, mode="w+", shape=shape)


def _store(states: list[Tensor], layers: np.ndarray, offsets: np.ndarray, group: list[int]) -> None:
    for number, state in enumerate(states):
        if not bool(torch.isfinite(state).all()):
            raise TrialFailed(f"hidden states of layer {number} are not finite: the pretraining diverged")
        values = state.float().clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().cpu().numpy()
        for row, position in enumerate(group):
            layers[number, offsets[position] : offsets[position + 1], : values.shape[-1]] = values[row]
