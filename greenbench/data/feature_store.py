"""The features of a whole split in one flat float16 array, normalised, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from greenbench.data.features import FeatureSpec, frames_to_features, padded_length, reflect_into, stack_frames
from greenbench.data.waveforms import WaveformStore

Progress = Callable[[float], None]

_GROUP_SAMPLES = 60 * 16_000
_GPU_GROUP_SAMPLES = 1800 * 16_000
_DEVIATION_FLOOR = 1e-3


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
        """Return one utterance's features, (T, F) float16."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def crop(self, index: int, start_frame: int, num_frames: int) -> np.ndarray:
        """Return ``num_frames`` frames of an utterance from ``start_frame`` on, (num_frames, F) float16."""
        begin = self.offsets[index] + start_frame
        if start_frame < 0 or begin + num_frames > self.offsets[index + 1]:
            length = self.offsets[index + 1] - self.offsets[index]
            raise IndexError(f"frames {start_frame}..{start_frame + num_frames} of {length} in utterance {index}")
        return self.frames[begin : begin + num_frames]

    def normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Apply this store's normalisation to features (…, T, F) extracted on the fly."""
        return normalise(features, self.spec, self.mean, self.std)

    @classmethod
    def compute(
        cls,
        store: WaveformStore,
        spec: FeatureSpec,
        *,
        device: torch.device | str = "cpu",
        threads: int = 0,
        progress: Progress | None = None,
        statistics: tuple[np.ndarray, np.ndarray] | None = None,
        out: np.ndarray | None = None,
    ) -> FeatureStore:
        """Compute all features of a split.

        ``statistics`` are the mean and deviation of another store (a test split is normalised with those of
        pretraining); ``out`` is an array to write to, for example a memory map; ``threads = 0`` takes PyTorch's number.
        """
        offsets = frame_offsets(store.num_samples, spec)
        frames = np.empty((int(offsets[-1]), spec.dim), np.float16) if out is None else out
        sums = _compute(store, spec, offsets, frames, torch.device(device), threads, progress, statistics)
        if statistics is not None:
            return cls(spec, frames, offsets, *statistics)
        return cls(spec, frames, offsets, *_finish(spec, frames, *sums))


def frame_offsets(num_samples: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return the begin of every utterance's frames and the end of the last, (N + 1,) int64."""
    counts = num_samples // spec.hop_samples // spec.stack
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def normalise(features: torch.Tensor, spec: FeatureSpec, mean: np.ndarray, std: np.ndarray) -> torch.Tensor:
    """Normalise features (…, T, F) as ``spec.normalise`` says."""
    if spec.normalise == "none":
        return features
    if spec.normalise == "utterance":
        deviation = features.std(-2, keepdim=True, correction=0)
        return (features - features.mean(-2, keepdim=True)) / deviation.clamp_(min=_DEVIATION_FLOOR)
    shift = torch.from_numpy(np.array(mean)).to(features.device)
    scale = torch.from_numpy(np.array(std)).to(features.device)
    return (features - shift) / scale


def groups_of(num_samples: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of utterances of about ``limit`` samples together."""
    ends = np.cumsum(num_samples)
    begin = 0
    while begin < len(num_samples):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield begin, end
        begin = end


def group_features(store: WaveformStore, begin: int, end: int, spec: FeatureSpec, device: torch.device) -> torch.Tensor:
    """Compute the un-normalised features of utterances ``begin..end`` in one go, (sum of T, F) float32 on ``device``.

    The utterances lie one after another in a flat buffer, each from a multiple of the hop on, so that one strided view
    holds all frames; the few that straddle two utterances are thrown away.
    """
    hop = spec.hop_samples
    rooms = [padded_length(int(n), spec) for n in store.num_samples[begin:end]]
    flat = np.empty(sum(rooms) + spec.window_samples - hop, np.int16)
    kept: list[slice] = []
    position = 0
    for index, room in zip(range(begin, end), rooms, strict=True):
        reflect_into(flat[position : position + room], store.samples(index), spec)
        first = position // hop
        kept.append(slice(first, first + int(store.num_samples[index]) // hop // spec.stack * spec.stack))
        position += room
    flat[position:] = 0
    samples = torch.from_numpy(flat).to(device).to(torch.float32).div_(32768.0)
    features = frames_to_features(samples, spec)
    features = torch.cat([features[part] for part in kept])
    return stack_frames(features[None], spec.stack)[0]


def _compute(
    store: WaveformStore,
    spec: FeatureSpec,
    offsets: np.ndarray,
    frames: np.ndarray,
    device: torch.device,
    threads: int,
    progress: Progress | None,
    statistics: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fill ``frames`` and return count, shift, scale, sum and sum of squares of what was stored.

    The first group fixes a provisional shift and scale, so that float16 holds values near 0 to three digits;
    :func:`_finish` corrects them to the exact ones.
    """
    groups = list(groups_of(store.num_samples, _GROUP_SAMPLES if device.type == "cpu" else _GPU_GROUP_SAMPLES))
    zero = torch.zeros(spec.dim)
    if spec.normalise == "global" and groups and statistics is None:
        head = group_features(store, 0, groups[0][1], spec, device)
        shift, scale = head.mean(0), head.std(0, correction=0).clamp_(min=_DEVIATION_FLOOR)
    elif spec.normalise == "global" and statistics is not None:
        shift, scale = (torch.from_numpy(np.array(s)).to(device) for s in statistics)
    else:
        shift, scale = zero.to(device), zero.to(device) + 1
    target = torch.from_numpy(frames)

    def work(group: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        features = group_features(store, *group, spec, device)
        if spec.normalise == "utterance":
            lengths = np.diff(offsets[group[0] : group[1] + 1]).tolist()
            features = torch.cat([normalise(part, spec, frames, frames) for part in features.split(lengths)])
        features.sub_(shift).div_(scale)
        target[int(offsets[group[0]]) : int(offsets[group[1]])] = features.to(torch.float16).to("cpu")
        return features.sum(0, dtype=torch.float64).cpu(), features.square().sum(0, dtype=torch.float64).cpu()

    total, squares, done = zero.double(), zero.double(), 0
    for number, (part, square) in enumerate(_map(work, groups, threads, device)):
        total, squares = total + part, squares + square
        done = groups[number][1]
        if progress is not None:
            progress(done / len(store))
    return int(offsets[-1]), shift.cpu(), scale.cpu(), total, squares


def _map(
    work: Callable[[tuple[int, int]], tuple[torch.Tensor, torch.Tensor]],
    groups: list[tuple[int, int]],
    threads: int,
    device: torch.device,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
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


def _finish(
    spec: FeatureSpec,
    frames: np.ndarray,
    count: int,
    shift: torch.Tensor,
    scale: torch.Tensor,
    total: torch.Tensor,
    squares: torch.Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    """Correct the provisional normalisation in place and return the exact mean and deviation."""
    mean = total / max(count, 1)
    deviation = (squares / max(count, 1) - mean.square()).clamp_(min=0).sqrt_()
    exact_mean = (shift + scale * mean).float().numpy()
    exact_std = (scale * deviation).float().clamp_(min=_DEVIATION_FLOOR).numpy()
    if spec.normalise == "global":
        factor = (scale / torch.from_numpy(exact_std)).float()
        stored = torch.from_numpy(frames)
        for begin in range(0, count, 65_536):
            part = stored[begin : begin + 65_536]
            part.copy_((part.float() - mean.float()).mul_(factor))
    return exact_mean, exact_std
