"""Features on disk: computed once in worker processes, memory-mapped ever after, with what they cost beside them.

A trial that reuses features gets them for nothing, which no budget may overlook: the cost stored with them says what
to charge instead. The folder's name is a hash over the decoded audio, the split, every setting and the code; a cost
holds only under the circumstances (machine, threads, sensors) it was measured in, and where there is none for the
present ones the features are computed again. What a GPU computed differs from a CPU's in the last digits, so each
kind of device has a folder of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from greenbench.audio.workers import run_jobs
from greenbench.config import digest
from greenbench.errors import OutputError
from greenbench.features.spec import FeatureSpec
from greenbench.features.store import (
    GROUP_SAMPLES,
    FeatureStore,
    Statistics,
    Sums,
    finish,
    frame_offsets,
    groups_of,
    provisional_statistics,
    store_features,
)
from greenbench.features.waveforms import WaveformStore, only_one, reserve
from greenbench.progress import Progress
from greenbench.resources import cache_dir

FRAMES, ARRAYS = "frames.f16", "arrays.npz"
_LAYOUT = 2
_GROUPS_PER_JOB = 10
# A worker spends 2 s on importing PyTorch, in which one core computes about two hours of audio.
_MIN_WORKER_AUDIO_S = 4 * 3600


@dataclass(frozen=True)
class CachedFeatures:
    """Features from the disk. ``seconds`` (wall), ``cpu_seconds`` and ``joules`` are what computing them took, ever.

    ``joules`` is None where no meter was read; ``reused`` says that they were there already.
    """

    store: FeatureStore
    seconds: float
    cpu_seconds: float
    joules: float | None
    reused: bool


@dataclass(frozen=True)
class _Asked:
    """What is to be computed, with what."""

    store: WaveformStore
    spec: FeatureSpec
    device: torch.device
    workers: int
    threads: int
    statistics: Statistics | None
    progress: Progress | None

    @property
    def takes_processes(self) -> bool:
        """Whether worker processes are worth their start."""
        hours_of_audio = self.store.audio_s >= _MIN_WORKER_AUDIO_S
        return self.device.type == "cpu" and (self.workers > 0 or hours_of_audio)


@dataclass(frozen=True)
class _Job:
    audio: str
    begins: tuple[int, ...]
    lengths: tuple[int, ...]
    spec: FeatureSpec
    statistics: Statistics
    frames: str
    first_frame: int


_CPU = torch.device("cpu")


def device_name(device: torch.device) -> str:
    """What computes: ``cpu``, or a kind of device with the card's name."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


@contextlib.contextmanager
def one_at_a_time(store: WaveformStore, spec: FeatureSpec, *, device: torch.device = _CPU) -> Iterator[None]:
    """Let one process compute these features while others wait, to reuse them.

    Enter it before a charged phase: waiting is no work. A process that dies gives the lock back. Where the cache
    cannot be written nobody waits.
    """
    root = _root()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_one(root / f"{cache_key(store, spec, None, device)}.lock"))
        yield


def cached_features(
    store: WaveformStore,
    spec: FeatureSpec,
    *,
    workers: int = 0,
    threads: int = 0,
    device: torch.device = _CPU,
    energy_j: Callable[[], float | None] | None = None,
    circumstances: Mapping[str, Any] | None = None,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> CachedFeatures:
    """The features of a split from the cache, computing them first if they or their cost are not there.

    ``energy_j`` reads a running total of joules; with it, features whose joules nobody knows are computed again.
    ``circumstances`` is plain data that a stored cost must agree in. ``threads`` (0: as PyTorch is set) is how many
    cores may be used: threads of this process, or as many worker processes where there are hours of audio;
    ``workers`` above 0 sets the processes outright; a ``device`` other than the CPU computes them in this process.
    Raises :class:`OutputError` where the cache cannot be written.
    """
    folder = _root() / cache_key(store, spec, statistics, device)
    cost = folder / f"cost-{digest(dict(circumstances or {}))}.json"
    try:
        reused = (folder / ARRAYS).is_file() and _knows(cost, joules=energy_j is not None)
        if not reused:
            folder.parent.mkdir(parents=True, exist_ok=True)
            asked = _Asked(store, spec, device, workers, threads or torch.get_num_threads(), statistics, progress)
            _build(asked, cost, energy_j)
        return _open(cost, spec, reused=reused)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{folder}: features cannot be stored or read ({error}); "
            "free space, delete the folder, or set GREENBENCH_CACHE to a writable folder"
        ) from error


def _root() -> Path:
    return cache_dir() / "features"


def _knows(cost: Path, *, joules: bool) -> bool:
    return cost.is_file() and not (joules and json.loads(cost.read_text(encoding="utf-8"))["joules"] is None)


def cache_key(
    store: WaveformStore, spec: FeatureSpec, statistics: Statistics | None, device: torch.device = _CPU
) -> str:
    """The name of the cache folder."""
    ids = [u.id for u in store.utterances]
    moments = [values.tolist() for values in statistics] if statistics is not None else None
    code = [_LAYOUT, _source(), torch.__version__, device_name(device)]
    return digest([code, store.folder.name, ids, store.num_samples.tolist(), asdict(spec), moments], length=20)


@cache
def _source() -> str:
    """A hash of the code that computes features: another one may give other values, at another cost."""
    names = ("extract.py", "store.py", "mel.py", "cache.py")
    return hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in names)).hexdigest()[:16]


def _build(asked: _Asked, cost: Path, energy_j: Callable[[], float | None] | None) -> None:
    folder = cost.parent
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        begin, begin_cpu = time.monotonic(), _cpu_seconds()
        begin_j = energy_j() if energy_j is not None else None
        offsets, exact = _compute(asked, building / FRAMES)
        np.savez(building / ARRAYS, offsets=offsets, mean=exact[0], std=exact[1])
        end_j = energy_j() if energy_j is not None else None
        took = {
            "seconds": time.monotonic() - begin,
            "cpu_seconds": _cpu_seconds() - begin_cpu,
            "joules": end_j - begin_j if begin_j is not None and end_j is not None else None,
            "audio_s": asked.store.audio_s,
        }
        (building / cost.name).write_text(json.dumps(took), encoding="utf-8")
        # Frames that are there already are the same, and may be mapped by others: only the cost is added to them.
        with contextlib.suppress(OSError):
            building.rename(folder)
        if building.exists():
            (building / cost.name).replace(cost)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _cpu_seconds() -> float:
    import resource

    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _compute(asked: _Asked, path: Path) -> tuple[np.ndarray, Statistics]:
    """Compute features into a file, mapped, so that no memory needs to hold them; give their offsets and moments."""
    store, spec = asked.store, asked.spec
    offsets = frame_offsets(store.num_samples, spec)
    shape = (int(offsets[-1]), spec.dim)
    with path.open("wb") as file:
        reserve(file.fileno(), max(shape[0] * shape[1] * 2, 2))
    frames = np.memmap(path, np.float16, "r+", shape=shape) if shape[0] else np.zeros(shape, np.float16)
    if asked.takes_processes:
        exact = _compute_in_processes(asked, path, frames, offsets)
    else:
        exact = FeatureStore.compute(
            store,
            spec,
            device=asked.device,
            threads=asked.threads,
            progress=asked.progress,
            statistics=asked.statistics,
            frames=frames,
        ).statistics
    if isinstance(frames, np.memmap):
        frames.flush()
    return offsets, exact


def _compute_in_processes(asked: _Asked, path: Path, frames: np.ndarray, offsets: np.ndarray) -> Statistics:
    store, spec, progress = asked.store, asked.spec, asked.progress
    groups = groups_of(store.num_samples, GROUP_SAMPLES)
    provisional = asked.statistics or provisional_statistics(store, groups, spec, _CPU)
    spans = [(part[0][0], part[-1][1]) for part in _chunks(groups, _GROUPS_PER_JOB)]
    jobs = [_job(store, span, spec, provisional, path, int(offsets[span[0]])) for span in spans]
    total, squares = np.zeros(spec.dim), np.zeros(spec.dim)
    with _threads_kept():
        for number, (part, square) in enumerate(run_jobs(run_job, jobs, asked.workers or asked.threads), 1):
            total, squares = total + part, squares + square
            if progress is not None:
                progress("computing features", number / len(jobs))
    return asked.statistics or finish(frames, spec, provisional, (total, squares))


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """Give PyTorch its threads back: a single worker is this very process."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _chunks(items: list[tuple[int, int]], size: int) -> list[list[tuple[int, int]]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _job(
    store: WaveformStore, span: tuple[int, int], spec: FeatureSpec, statistics: Statistics, path: Path, frame: int
) -> _Job:
    part = slice(*span)
    begins, lengths = store.begins[part].tolist(), store.num_samples[part].tolist()
    return _Job(str(store.audio_path), tuple(begins), tuple(lengths), spec, statistics, str(path), frame)


def run_job(job: _Job) -> Sums:
    """Compute one job's features in this process, a minute of audio at a time."""
    torch.set_num_threads(1)
    audio = np.memmap(job.audio, np.int16, "r")
    sums = np.zeros(job.spec.dim), np.zeros(job.spec.dim)
    lengths = np.array(job.lengths, dtype=np.int64)
    offsets = frame_offsets(lengths, job.spec)
    frames = np.memmap(
        job.frames, np.float16, "r+", offset=job.first_frame * job.spec.dim * 2, shape=(int(offsets[-1]), job.spec.dim)
    )
    for begin, end in groups_of(lengths, GROUP_SAMPLES):
        samples = [audio[job.begins[i] : job.begins[i] + job.lengths[i]] for i in range(begin, end)]
        part = frames[offsets[begin] : offsets[end]]
        found = store_features(samples, job.spec, job.statistics, part, torch.device("cpu"))
        sums = sums[0] + found[0], sums[1] + found[1]
    return sums


def _open(cost: Path, spec: FeatureSpec, *, reused: bool) -> CachedFeatures:
    folder = cost.parent
    with np.load(folder / ARRAYS) as arrays:
        offsets, mean, std = arrays["offsets"], arrays["mean"], arrays["std"]
    shape = (int(offsets[-1]), spec.dim)
    if (folder / FRAMES).stat().st_size < shape[0] * shape[1] * 2:
        raise ValueError(f"{FRAMES} is shorter than its index says")
    # Copy on write: whoever changes what it reads changes its own memory, never the file.
    frames = np.memmap(folder / FRAMES, np.float16, "c", shape=shape) if shape[0] else np.zeros(shape, np.float16)
    took = json.loads(cost.read_text(encoding="utf-8"))
    store = FeatureStore(spec, frames, offsets, mean, std)
    return CachedFeatures(store, took["seconds"], took["cpu_seconds"], took["joules"], reused)
