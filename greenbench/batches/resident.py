"""Stored features near the arithmetic: whole in the training device's memory, or in windows of the plan.

Order and values of the batches are those of a loader that reads the memory map: a window is a stretch of the seeded
plan, not of the corpus, so arms that read features of different sizes still hear the same crops in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import psutil
import torch

from greenbench.batches.plan import BatchPlan, EpochPlan
from greenbench.errors import DeviceError
from greenbench.features.store import FeatureStore
from greenbench.progress import Progress
from greenbench.units import format_bytes

Residence = Literal["whole", "windows", "off"]
PlanOf = Callable[[int], EpochPlan]
"""``plan_of(epoch)`` is that epoch's plan."""

SHARE = 0.7
"""The part of the device's free memory that features may take; the rest is the model's."""
WINDOW_BYTES = 2**30
"""A window's size where there is room: two are held, and filling one takes a core under a second from memory."""
_UPLOAD_BYTES = 2**28


class StoredCrops(Protocol):
    """Where a loader takes the stored features of a batch from."""

    nbytes: int
    """What lies on the device for the whole training, in bytes."""

    def crops(self, plan_of: PlanOf, epoch: int, index: int) -> torch.Tensor:
        """The features (B, T, F) float16 of batch ``index`` of an epoch, on the device."""


def room_bytes(device: torch.device) -> int:
    """How much of a device's memory features may take, in bytes, as it stands now."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(SHARE * free)


def choose_residence(asked: str, nbytes: int, device: torch.device) -> Residence:
    """Where ``nbytes`` bytes of features lie that ``[train] resident`` asks for.

    ``auto`` leaves them in their memory map on a CPU, whose memory holds what is read of it anyway.

    Raises:
        DeviceError: they shall lie there as a whole and do not fit.
    """
    room = room_bytes(device)
    if asked == "whole" and nbytes > room:
        raise DeviceError(
            f"[train] resident = 'whole': the features take {format_bytes(nbytes)}, and {device} has room for "
            f"{format_bytes(room)} ({SHARE:.0%} of its free memory); use auto or windows"
        )
    if asked == "auto":
        if device.type == "cpu":
            return "off"
        return "whole" if nbytes <= room else "windows"
    return "whole" if asked == "whole" else "windows" if asked == "windows" else "off"


def place(
    store: FeatureStore, residence: Residence, device: torch.device, *, progress: Progress | None = None
) -> StoredCrops:
    """Put features where they shall lie; takes as long as reading them once where that is the device as a whole."""
    if residence == "whole":
        return ResidentFeatures(store, device, progress=progress)
    if residence == "windows":
        return FeatureWindows(store, device, window_bytes=min(WINDOW_BYTES, room_bytes(device) // 2))
    return MappedFeatures(store, device)


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Bring what lies in the host's memory to a device; to a GPU without waiting for it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class MappedFeatures:
    """Every batch is put together on the host and brought to the device."""

    nbytes = 0

    def __init__(self, store: FeatureStore, device: torch.device) -> None:
        self.store, self.device = store, device

    def crops(self, plan_of: PlanOf, epoch: int, index: int) -> torch.Tensor:
        """The features (B, T, F) float16 of a batch, on the device."""
        plan = plan_of(epoch).batch(index)
        first, frames = _places(self.store, plan)
        block = np.empty((len(first), frames, self.store.spec.dim), np.float16)
        for row, begin in enumerate(first.tolist()):
            block[row] = self.store.frames[begin : begin + frames]
        return to_device(torch.from_numpy(block), self.device)


class ResidentFeatures:
    """All frames of a split in the device's memory, (sum of T, F) float16; a batch is gathered there."""

    def __init__(self, store: FeatureStore, device: torch.device, *, progress: Progress | None = None) -> None:
        self.store, self.device = store, device
        self.frames = torch.empty(store.frames.shape, dtype=torch.float16, device=device)
        self.nbytes = self.frames.nbytes
        step = max(1, _UPLOAD_BYTES // (2 * store.spec.dim))
        for begin in range(0, len(self.frames), step):
            part = self.frames[begin : begin + step]
            part.copy_(torch.from_numpy(store.frames[begin : begin + step]))
            if progress is not None:
                progress("features into the device's memory", (begin + len(part)) / len(self.frames))
        if device.type == "cuda":
            # The loader reads on a stream of its own.
            torch.cuda.synchronize(device)

    def crops(self, plan_of: PlanOf, epoch: int, index: int) -> torch.Tensor:
        """Gather the features (B, T, F) float16 of a batch; what comes from the host is one number a crop."""
        first, frames = _places(self.store, plan_of(epoch).batch(index))
        begins = to_device(torch.from_numpy(first), self.device)
        rows = begins[:, None] + torch.arange(frames, device=self.device)
        return self.frames.index_select(0, rows.flatten()).view(len(first), frames, self.store.spec.dim)


@dataclass(frozen=True)
class _Window:
    """The crops of batches ``first`` to ``last`` - 1 of an epoch, one after another in the order of the plan."""

    epoch: int
    first: int
    last: int
    frames: torch.Tensor
    bounds: np.ndarray
    """Where each batch begins in ``frames``, and the last one's end, (last - first + 1,) int64."""

    def holds(self, epoch: int, index: int) -> bool:
        return epoch == self.epoch and self.first <= index < self.last

    def batch(self, index: int, size: int) -> torch.Tensor:
        begin, end = self.bounds[index - self.first : index - self.first + 2].tolist()
        return self.frames[begin:end].view(size, (end - begin) // size, -1)


class FeatureWindows:
    """The next stretch of the plan in the device's memory; a thread brings the one after it meanwhile.

    Within a window the crops are read in the order in which they lie in the file, which a disk gives many times faster
    than the plan's. The first window after a start or a :meth:`BatchLoader.seek` is waited for.
    """

    nbytes = 0

    def __init__(self, store: FeatureStore, device: torch.device, *, window_bytes: int = WINDOW_BYTES) -> None:
        self.store, self.device = store, device
        self.window_frames = max(1, window_bytes // (2 * store.spec.dim))
        self._pool = ThreadPoolExecutor(1, "greenbench-windows")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._window: _Window | None = None
        self._ahead: tuple[tuple[int, int], Future[_Window]] | None = None

    def crops(self, plan_of: PlanOf, epoch: int, index: int) -> torch.Tensor:
        """The features (B, T, F) float16 of a batch, a view into the present window."""
        window = self._window
        if window is None or not window.holds(epoch, index):
            self._window = None  # its memory is free before the next but one is filled
            window = self._window = self._arrived(plan_of, epoch, index)
        return window.batch(index, len(plan_of(epoch).batch(index).utterances))

    def _arrived(self, plan_of: PlanOf, epoch: int, index: int) -> _Window:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == (epoch, index):
            window = ahead[1].result()
        else:
            if ahead is not None:
                ahead[1].cancel()
            window = self._pool.submit(self._fill, plan_of, epoch, index).result()
        following = (epoch, window.last) if window.last < len(plan_of(epoch)) else (epoch + 1, 0)
        self._ahead = following, self._pool.submit(self._fill, plan_of, *following)
        if self._stream is not None:
            # Filled on another stream: it must not be overwritten while this one still reads it.
            window.frames.record_stream(torch.cuda.current_stream(self.device))
        return window

    def _fill(self, plan_of: PlanOf, epoch: int, first: int) -> _Window:
        plan, hop = plan_of(epoch), self.store.spec.hop_samples * self.store.spec.stack
        lengths = plan.lengths[first:] // hop
        ends = np.cumsum(np.diff(plan.bounds[first:]) * lengths)
        count = max(1, int(np.searchsorted(ends, self.window_frames, side="right")))
        bounds = np.concatenate([[0], ends[:count]])
        crops = slice(int(plan.bounds[first]), int(plan.bounds[first + count]))
        frames = np.repeat(lengths[:count], np.diff(plan.bounds[first : first + count + 1]))
        sources = self.store.rows_of(plan.utterances[crops], plan.starts[crops] // hop, frames)
        targets = np.cumsum(frames) - frames
        on_gpu = self.device.type == "cuda"
        block = torch.empty((int(bounds[-1]), self.store.spec.dim), dtype=torch.float16, pin_memory=on_gpu)
        out = block.numpy()
        for crop in np.argsort(sources, kind="stable").tolist():
            begin, target, length = int(sources[crop]), int(targets[crop]), int(frames[crop])
            out[target : target + length] = self.store.frames[begin : begin + length]
        with torch.cuda.stream(self._stream) if self._stream is not None else nullcontext():
            placed = block.to(self.device)
        return _Window(epoch, first, first + count, placed, bounds)


def _places(store: FeatureStore, plan: BatchPlan) -> tuple[np.ndarray, int]:
    """The first row of each crop in the store's frames, (B,) int64, and how many rows a crop has."""
    hop = store.spec.hop_samples * store.spec.stack
    frames = plan.num_samples // hop
    return store.rows_of(plan.utterances, plan.starts // hop, frames), frames
