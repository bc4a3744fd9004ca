"""The features of a whole split in one flat float16 array, normalised, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from greenbench.features.extract import frames_to_features, padded_length, reflect_into, stack_frames
from greenbench.features.spec import FeatureSpec
from greenbench.features.waveforms import WaveformStore
from greenbench.progress import Progress
from greenbench.units import SAMPLE_RATE

Statistics = tuple[np.ndarray, np.ndarray]
Sums = tuple[np.ndarray, np.ndarray]

GROUP_SAMPLES = 60 * SAMPLE_RATE
_GPU_GROUP_SAMPLES = 1800 * SAMPLE_RATE
_DEVIATION_FLOOR = 1e-3
_BLOCK_FRAMES = 65_536


@dataclass(frozen=True)
class FeatureStore:
    """Features of N utterances: ``frames`` (sum of T, F) float16 and ``offsets`` (N + 1,) int64 into it.

    ``mean`` and ``std`` (F,) float32 are those of the un-normalised features; with ``normalise = "global"`` every
    stored value is ``(feature - mean) / std``.
    """

    spec: FeatureSpec
    frames: np.ndarray
    offsets: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def features(self, index: int) -> np.ndarray:
        """One utterance's features, (T, F) float16."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def crop(self, index: int, start_frame: int, num_frames: int) -> np.ndarray:
        """``num_frames`` frames of an utterance from ``start_frame`` on, (num_frames, F) float16."""
        begin = self.offsets[index] + start_frame
        if start_frame < 0 or begin + num_frames > self.offsets[index + 1]:
            length = self.offsets[index + 1] - self.offsets[index]
            raise IndexError(f"frames {start_frame}..{start_frame + num_frames} of {length} in utterance {index}")
        return self.frames[begin : begin + num_frames]

    def rows_of(self, utterances: np.ndarray, start_frames: np.ndarray, num_frames: np.ndarray | int) -> np.ndarray:
        """The first row of each crop in ``frames``, (B,) int64; IndexError where one leaves its utterance (B,)."""
        begins: np.ndarray = self.offsets[utterances] + start_frames
        if (start_frames < 0).any() or (begins + num_frames > self.offsets[utterances + 1]).any():
            raise IndexError(f"crops leave their utterances: {num_frames} frames from {start_frames} of {utterances}")
        return begins

    def normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Apply this store's normalisation to features (…, T, F) extracted on the fly."""
        return normalise(features, self.spec, (self.mean, self.std))

    @property
    def statistics(self) -> Statistics:
        """Mean and deviation, to normalise another split alike."""
        return self.mean, self.std

    @classmethod
    def compute(
        cls,
        store: WaveformStore,
        spec: FeatureSpec,
        *,
        device: torch.device | str = "cpu",
        threads: int = 0,
        progress: Progress | None = None,
        statistics: Statistics | None = None,
        frames: np.ndarray | None = None,
    ) -> FeatureStore:
        """Compute all features of a split, in memory or into ``frames``, a mapped file of their shape.

        ``statistics`` are the mean and deviation of another store (a test split is normalised with those of
        pretraining); ``threads = 0`` takes PyTorch's number; ``progress(text, fraction)`` reports.
        """
        device = torch.device(device)
        groups = groups_of(store.num_samples, GROUP_SAMPLES if device.type == "cpu" else _GPU_GROUP_SAMPLES)
        offsets = frame_offsets(store.num_samples, spec)
        if frames is None:
            frames = np.empty((int(offsets[-1]), spec.dim), np.float16)
        provisional = statistics or provisional_statistics(store, groups, spec, device)

        def work(group: tuple[int, int]) -> Sums:
            samples = [store.samples(index) for index in range(*group)]
            return store_features(samples, spec, provisional, frames[offsets[group[0]] : offsets[group[1]]], device)

        total, squares = np.zeros(spec.dim), np.zeros(spec.dim)
        for (_, end), (part, square) in zip(groups, _map(work, groups, threads, device), strict=True):
            total, squares = total + part, squares + square
            if progress is not None:
                progress("computing features", end / len(store))
        exact = statistics or finish(frames, spec, provisional, (total, squares))
        return cls(spec, frames, offsets, *exact)


def frame_offsets(num_samples: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The begin of every utterance's frames and the end of the last, (N + 1,) int64."""
    counts = num_samples // spec.hop_samples // spec.stack
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def normalise(features: torch.Tensor, spec: FeatureSpec, statistics: Statistics) -> torch.Tensor:
    """Normalise features (…, T, F) as ``spec.normalise`` says."""
    if spec.normalise == "none":
        return features
    if spec.normalise == "utterance":
        deviation = features.std(-2, keepdim=True, correction=0)
        return (features - features.mean(-2, keepdim=True)) / deviation.clamp_(min=_DEVIATION_FLOOR)
    mean, std = (torch.from_numpy(np.array(values, np.float32)).to(features.device) for values in statistics)
    return (features - mean) / std


def groups_of(num_samples: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Ranges of utterances of about ``limit`` samples together."""
    ends = np.cumsum(num_samples)
    groups, begin = [], 0
    while begin < len(num_samples):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + limit, side="right")))
        groups.append((begin, end))
        begin = end
    return groups


def raw_features(samples: Sequence[np.ndarray], spec: FeatureSpec, device: torch.device) -> torch.Tensor:
    """Compute the un-normalised features of several utterances (S,) int16, (sum of T, F) float32 on ``device``.

    The utterances lie one after another in a flat buffer, each from a multiple of the hop on, so that one strided view
    holds all frames; the few that straddle two utterances are thrown away.
    """
    hop = spec.hop_samples
    rooms = [padded_length(len(part), spec) for part in samples]
    flat = np.empty(sum(rooms) + spec.window_samples - hop, np.int16)
    kept: list[slice] = []
    position = 0
    for part, room in zip(samples, rooms, strict=True):
        reflect_into(flat[position : position + room], part, spec)
        first = position // hop
        kept.append(slice(first, first + len(part) // hop // spec.stack * spec.stack))
        position += room
    flat[position:] = 0
    features = frames_to_features(torch.from_numpy(flat).to(device).to(torch.float32).div_(32768.0), spec)
    return stack_frames(torch.cat([features[part] for part in kept])[None], spec.stack)[0]


def provisional_statistics(
    store: WaveformStore, groups: list[tuple[int, int]], spec: FeatureSpec, device: torch.device
) -> Statistics:
    """Estimate mean and deviation from the first group.

    float16 holds values near 0 to three digits, un-normalised ones only to two; :func:`finish` puts the exact mean and
    deviation in the estimate's place.
    """
    if spec.normalise != "global" or not groups:
        return np.zeros(spec.dim, np.float32), np.ones(spec.dim, np.float32)
    head = raw_features([store.samples(index) for index in range(*groups[0])], spec, device)
    if not len(head):
        return np.zeros(spec.dim, np.float32), np.ones(spec.dim, np.float32)
    deviation = head.std(0, correction=0).clamp_(min=_DEVIATION_FLOOR)
    return head.mean(0).cpu().numpy(), deviation.cpu().numpy()


def store_features(
    samples: Sequence[np.ndarray], spec: FeatureSpec, statistics: Statistics, out: np.ndarray, device: torch.device
) -> Sums:
    """Write the features of some utterances, shifted and scaled by ``statistics``, to ``out`` (sum of T, F) float16.

    Returns the sum and the sum of squares of what was written, (F,) float64 each.
    """
    features = raw_features(samples, spec, device)
    if spec.normalise == "utterance":
        lengths = [len(part) // spec.hop_samples // spec.stack for part in samples]
        features = torch.cat([normalise(part, spec, statistics) for part in torch.split(features, lengths)])
    elif spec.normalise == "global":
        features = normalise(features, spec, statistics)
    torch.from_numpy(out).copy_(features)
    total, squares = features.sum(0, dtype=torch.float64), features.square().sum(0, dtype=torch.float64)
    return total.cpu().numpy(), squares.cpu().numpy()


def finish(frames: np.ndarray, spec: FeatureSpec, provisional: Statistics, sums: Sums) -> Statistics:
    """Put the exact normalisation in the provisional one's place, in ``frames`` itself; return mean and deviation."""
    shift, scale = (values.astype(np.float64) for values in provisional)
    mean = sums[0] / max(len(frames), 1)
    deviation = np.sqrt(np.maximum(sums[1] / max(len(frames), 1) - mean**2, 0.0))
    exact_std = np.maximum(scale * deviation, _DEVIATION_FLOOR)
    if spec.normalise == "global":
        stored = torch.from_numpy(frames)
        move, factor = torch.from_numpy(mean).float(), torch.from_numpy(scale / exact_std).float()
        for begin in range(0, len(frames), _BLOCK_FRAMES):
            part = stored[begin : begin + _BLOCK_FRAMES]
            part.copy_((part.float() - move).mul_(factor))
    return (shift + scale * mean).astype(np.float32), exact_std.astype(np.float32)


def _map(
    work: Callable[[tuple[int, int]], Sums], groups: list[tuple[int, int]], threads: int, device: torch.device
) -> Iterator[Sums]:
    """Run groups in threads of one core each: blocks this small gain nothing from PyTorch's own threads."""
    before = torch.get_num_threads()
    threads = threads or before
    if threads == 1 or device.type != "cpu" or len(groups) < 2:
        yield from map(work, groups)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, groups)
    finally:
        torch.set_num_threads(before)
