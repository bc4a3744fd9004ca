"""K-means units: fitted on a sample of frames, assigned to all; the targets of predictive models.

The fit is scikit-learn's mini-batch k-means (k-means++ start). What it costs is counted, because targets are part of
a model's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from greenbench.progress import Progress
from greenbench.units import SAMPLE_RATE

_START_PER_UNIT, _START_LEAST = 10, 4096
"""k-means++ looks at this sample once per unit, which soon costs more than all passes; they mend its start."""
_LABEL_BLOCK = 64
"""Utterances labelled at once: one large product costs less than many small ones."""


@dataclass(frozen=True)
class Units:
    """Centroids (K, D) float32, with the FLOPs that finding them took."""

    centroids: np.ndarray
    fit_flops: float

    def assign(self, frames: Tensor) -> Tensor:
        """The nearest centroid of each frame, (N, D) -> (N,) int64."""
        centroids = torch.from_numpy(self.centroids).to(frames.device)
        half_norms = centroids.square().sum(dim=1) / 2
        return (frames.float() @ centroids.T - half_norms).argmax(dim=1)

    def assign_flops(self, frames: int) -> float:
        """The FLOPs of assigning so many frames: the distance matrix, 2 N K D."""
        return 2.0 * frames * self.centroids.size


def fit_units(frames: np.ndarray, k: int, *, seed: int, passes: int = 8, batch: int = 8192) -> Units:
    """Fit ``k`` centroids to frames (N, D). With fewer frames than ``k`` the number of units is N."""
    k = min(k, len(frames))
    model = MiniBatchKMeans(
        k,
        batch_size=batch,
        max_iter=passes,
        n_init=1,
        init="k-means++",
        random_state=seed,
        reassignment_ratio=0.0,
        max_no_improvement=None,
        init_size=min(len(frames), max(_START_PER_UNIT * k, _START_LEAST)),
    )
    data = np.ascontiguousarray(frames, dtype=np.float32)
    # k-means++ draws 2 + log k candidates per centroid over the initial sample; each pass is one distance matrix.
    model.fit(data)
    start = (2 + np.log(k)) * k * min(len(data), model.init_size) * data.shape[1] * 2
    return Units(model.cluster_centers_.astype(np.float32), float(start + 2.0 * passes * len(data) * k * data.shape[1]))


class UnitLabels:
    """Unit labels of all utterances, flat, cut to a batch's crops by frame offset. Copies share the arrays."""

    def __init__(self, labels: np.ndarray, offsets: np.ndarray, hop_samples: int) -> None:
        self.labels = labels.astype(np.int16, copy=False)
        self.offsets = offsets.astype(np.int64, copy=False)
        self.hop_samples = hop_samples
        self._placed: tuple[Tensor, Tensor] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> UnitLabels:
        memo[id(self)] = shared = UnitLabels(self.labels, self.offsets, self.hop_samples)
        return shared

    @classmethod
    def build(cls, parts: Iterable[np.ndarray], hop_samples: int) -> UnitLabels:
        """Gather the labels of all utterances, given in order."""
        collected = list(parts)
        lengths = np.array([0, *(len(part) for part in collected)])
        return cls(np.concatenate(collected), lengths.cumsum(), hop_samples)

    def place(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Keep a copy on ``device``, so that :meth:`crop` copies nothing (on the CPU: the same memory)."""
        self._placed = (torch.from_numpy(self.labels).to(device), torch.from_numpy(self.offsets).to(device))
        return self._placed

    def crop(self, origins: Tensor, frames: int) -> Tensor:
        """Labels (B, T) int64 of crops; the last label fills a short tail.

        ``origins`` (B, 2) int64 are utterances and first samples, best on the device that :meth:`place` named.
        """
        placed = self._placed
        if placed is None or placed[0].device != origins.device:
            placed = self.place(origins.device)
        labels, offsets = placed
        utterances, starts = origins.unbind(1)
        index = (offsets[utterances] + starts // self.hop_samples).unsqueeze(1)
        index = index + torch.arange(frames, device=origins.device)
        return labels[torch.minimum(index, (offsets[utterances + 1] - 1).unsqueeze(1))].long()

    def state(self) -> dict[str, np.ndarray]:
        """The arrays that restore these labels."""
        return {"labels": self.labels, "offsets": self.offsets, "hop_samples": np.array(self.hop_samples)}

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> UnitLabels:
        """Restore from :meth:`state`."""
        return cls(state["labels"], state["offsets"], int(state["hop_samples"].item()))


def sample_utterances(num_samples: np.ndarray, seconds: float, *, seed: int) -> np.ndarray:
    """Indices of random utterances that hold about ``seconds`` of audio at 16 kHz, at least one."""
    order = np.random.default_rng(seed).permutation(len(num_samples))
    enough = np.searchsorted(np.cumsum(num_samples[order]) / SAMPLE_RATE, seconds) + 1
    return np.sort(order[:enough])


def cluster(
    frames_of: Callable[[int], np.ndarray],
    num_samples: np.ndarray,
    *,
    k: int,
    hop_samples: int,
    seed: int,
    fit_seconds: float,
    progress: Progress,
    projection: np.ndarray | None = None,
) -> tuple[UnitLabels, float]:
    """Fit units on ``fit_seconds`` of random utterances and label all of them; return labels and FLOPs.

    ``projection`` (D, P) is applied to the frames first.
    """

    def block_of(indices: np.ndarray) -> tuple[Tensor, list[int]]:
        parts = [np.asarray(frames_of(int(i)), dtype=np.float32) for i in indices]
        frames = torch.from_numpy(np.concatenate(parts))
        return (frames if projection is None else frames @ torch.from_numpy(projection)), [len(p) for p in parts]

    chosen = sample_utterances(num_samples, fit_seconds, seed=seed)
    progress("k-means: fitting", 0.0)
    units = fit_units(block_of(chosen)[0].numpy(), k, seed=seed)
    parts: list[np.ndarray] = []
    for block in np.array_split(np.arange(len(num_samples)), -(-len(num_samples) // _LABEL_BLOCK)):
        progress("k-means: labelling", float(block[0]) / len(num_samples))
        frames, lengths = block_of(block)
        parts += np.split(units.assign(frames).numpy(), np.cumsum(lengths)[:-1])
    total = sum(len(part) for part in parts)
    return UnitLabels.build(parts, hop_samples), units.fit_flops + units.assign_flops(total)
