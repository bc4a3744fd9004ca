"""Batches for training: crops of stored arrays, in the order of the plan, resumable to the batch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from greenbench.batches.batch import Batch
from greenbench.batches.plan import BatchPlan, EpochPlan
from greenbench.batches.resident import MappedFeatures, StoredCrops, to_device
from greenbench.features.extract import extract
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore, to_float

Augment = Callable[[torch.Tensor, int, int], torch.Tensor]
"""``augment(waveform (B, S), epoch, index)`` returns a waveform of the same shape."""


class BatchLoader:
    """Endless batches over one split. ``position`` is (epoch, index) of the batch that comes next.

    With a feature store the batches have ``features``, with ``waveform=True`` (the default without one) the samples.
    ``stored`` is where the store's crops are taken from; without it, from the memory map.
    On a CPU a batch is put together in the calling process, since slicing a memory map costs less than a hand-over;
    for CUDA (or with ``prefetch=True``) a thread prepares the next one while the current one is computed.
    """

    def __init__(
        self,
        store: WaveformStore,
        features: FeatureStore | FeaturesOnTheFly | None,
        *,
        seed: int,
        fingerprint: str,
        batch_seconds: float = 32.0,
        crop_seconds: float = 8.0,
        crop_lengths: int = 0,
        device: torch.device | str = "cpu",
        waveform: bool | None = None,
        augment: Augment | None = None,
        prefetch: bool = False,
        language_alpha: float | None = None,
        stored: StoredCrops | None = None,
    ) -> None:
        self.store, self.features = store, features
        self.device = torch.device(device)
        self._stored = stored
        if stored is None and isinstance(features, FeatureStore):
            self._stored = MappedFeatures(features, self.device)
        self.waveform = features is None if waveform is None else waveform
        self.augment = augment
        self._extracts = augment is not None or isinstance(features, FeaturesOnTheFly)
        is_cuda = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if is_cuda else None
        self._pool = ThreadPoolExecutor(1, "greenbench-loader") if is_cuda or prefetch else None
        self.stall_s = 0.0
        """Seconds that the training has waited for batches so far."""
        languages = None if language_alpha is None else [u.language or "" for u in store.utterances]

        @lru_cache(maxsize=2)
        def plan_of(epoch: int) -> EpochPlan:
            return EpochPlan.make(
                store.num_samples,
                seed=seed,
                epoch=epoch,
                fingerprint=fingerprint,
                batch_seconds=batch_seconds,
                crop_seconds=crop_seconds,
                crop_lengths=crop_lengths,
                languages=languages,
                language_alpha=1.0 if language_alpha is None else language_alpha,
            )

        self._plan_of = plan_of
        self._epoch, self._index = 0, 0
        self.plan = self._plan_of(0)
        self._ahead: Future[Batch] | None = None

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, index) of the batch that comes next."""
        return self._epoch, self._index

    def seek(self, epoch: int, index: int) -> None:
        """Continue at a position; the same batches follow as if the loader had come there by itself."""
        if epoch != self._epoch:
            self.plan = self._plan_of(epoch)
        self._epoch, self._index, self._ahead = epoch, index, None

    def peek(self) -> tuple[int, int]:
        """(crops, samples a crop) of the batch that comes next."""
        ended = self._index >= len(self.plan)
        plan = self._plan_of(self._epoch + 1).batch(0) if ended else self.plan.batch(self._index)
        return len(plan.utterances), plan.num_samples

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch; an epoch's end is followed by the next epoch's begin."""
        begin = time.perf_counter()
        if self._pool is None:
            batch = self._load(self.plan, self._epoch, self._index)
            self._advance()
        else:
            ahead = self._ahead or self._submit(self._pool)
            batch = self._arrived(ahead)
            self._advance()
            self._ahead = self._submit(self._pool)
        self.stall_s += time.perf_counter() - begin
        return batch

    def _advance(self) -> None:
        self._index += 1
        if self._index >= len(self.plan):
            self._epoch, self._index = self._epoch + 1, 0
            self.plan = self._plan_of(self._epoch)

    def _submit(self, pool: ThreadPoolExecutor) -> Future[Batch]:
        return pool.submit(self._load, self.plan, self._epoch, self._index)

    def _arrived(self, ahead: Future[Batch]) -> Batch:
        batch = ahead.result()
        if self._stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self._stream)
            for tensor in (batch.waveform, batch.features, batch.origins):
                if tensor is not None:
                    # The memory was taken on the copying stream and must not be reused while this one reads it.
                    tensor.record_stream(current)
        return batch

    def _load(self, epoch_plan: EpochPlan, epoch: int, index: int) -> Batch:
        plan = epoch_plan.batch(index)
        with torch.cuda.stream(self._stream) if self._stream is not None else contextlib.nullcontext():
            waveform = self._waveforms(plan) if self.waveform or self._extracts else None
            if waveform is not None and self.augment is not None:
                waveform = self.augment(waveform, epoch, index)
            features = self._features(waveform, epoch, index) if self.features is not None else None
            origins = self._copy(np.stack([plan.utterances, plan.starts], axis=1).astype(np.int64))
        waveform = waveform if self.waveform else None
        return Batch(waveform, features, plan.num_samples, plan.utterances, plan.starts, origins)

    def _waveforms(self, plan: BatchPlan) -> torch.Tensor:
        samples = np.empty((len(plan.utterances), plan.num_samples), np.int16)
        for row, (index, start) in enumerate(zip(plan.utterances, plan.starts, strict=True)):
            samples[row] = self.store.samples(index)[start : start + plan.num_samples]
        if self.device.type == "cpu":
            return torch.from_numpy(to_float(samples))
        return self._copy(samples).to(torch.float32).div_(32768.0)

    def _features(self, waveform: torch.Tensor | None, epoch: int, index: int) -> torch.Tensor:
        store = self.features
        if store is None:
            raise ValueError("the loader was built without features")
        if waveform is not None and (self.augment is not None or isinstance(store, FeaturesOnTheFly)):
            # Stored features are those of the recordings as they are; changed ones are computed on the device.
            return store.normalise(extract(waveform, store.spec))
        assert self._stored is not None
        return self._stored.crops(self._plan_of, epoch, index).to(torch.float32)

    def _copy(self, array: np.ndarray) -> torch.Tensor:
        return to_device(torch.from_numpy(array), self.device)
