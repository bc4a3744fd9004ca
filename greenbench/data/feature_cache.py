"""Features on disk: computed once in worker processes, memory-mapped ever after, with what they cost beside them.

A trial that reuses features gets them for nothing, which no budget may overlook: the cost stored with them says what
to charge instead. The folder's name is a hash over the decoded audio, the split and every setting.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from greenbench.config import digest
from greenbench.data.feature_store import (
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
from greenbench.data.features import FeatureSpec
from greenbench.data.waveforms import WaveformStore
from greenbench.data.workers import available_cores, run_jobs
from greenbench.errors import OutputError
from greenbench.resources import cache_dir

FRAMES, ARRAYS, COST = "frames.f16", "arrays.npz", "cost.json"
_LAYOUT = 1
_GROUPS_PER_JOB = 10
# A worker spends 2 s on importing PyTorch, in which one core computes about two hours of audio.
_MIN_WORKER_AUDIO_S = 4 * 3600

Progress = Callable[[str, float], None]


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
class _Job:
    audio: str
    begins: tuple[int, ...]
    lengths: tuple[int, ...]
    spec: FeatureSpec
    statistics: Statistics
    frames: str
    first_frame: int


def cached_features(
    store: WaveformStore,
    spec: FeatureSpec,
    *,
    workers: int = 0,
    energy_j: Callable[[], float | None] | None = None,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
) -> CachedFeatures:
    """Return the features of a split from the cache, computing them first if they are not there.

    ``energy_j`` reads a running total of joules; ``workers = 0`` takes one process a core for hours of audio.
    Raises :class:`OutputError` where the cache cannot be written.
    """
    root = cache_dir() / "features"
    folder = root / cache_key(store, spec, statistics)
    reused = (folder / COST).is_file()
    try:
        if not reused:
            root.mkdir(parents=True, exist_ok=True)
            _build(store, spec, folder, workers, energy_j, statistics, progress)
        return _open(folder, spec, reused=reused)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{folder}: features cannot be stored or read ({error}); "
            "free space, delete the folder, or set GREENBENCH_CACHE to a writable folder"
        ) from error


def cache_key(store: WaveformStore, spec: FeatureSpec, statistics: Statistics | None) -> str:
    """Return the name of the cache folder."""
    ids = [u.id for u in store.utterances]
    moments = [values.tolist() for values in statistics] if statistics is not None else None
    return digest([_LAYOUT, store.folder.name, ids, store.num_samples.tolist(), asdict(spec), moments], length=20)


def _build(
    store: WaveformStore,
    spec: FeatureSpec,
    folder: Path,
    workers: int,
    energy_j: Callable[[], float | None] | None,
    statistics: Statistics | None,
    progress: Progress | None,
) -> None:
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        begin, begin_cpu = time.monotonic(), _cpu_seconds()
        begin_j = energy_j() if energy_j is not None else None
        offsets, exact = _compute(store, spec, building / FRAMES, workers, statistics, progress)
        np.savez(building / ARRAYS, offsets=offsets, mean=exact[0], std=exact[1])
        end_j = energy_j() if energy_j is not None else None
        cost = {
            "seconds": time.monotonic() - begin,
            "cpu_seconds": _cpu_seconds() - begin_cpu,
            "joules": end_j - begin_j if begin_j is not None and end_j is not None else None,
            "audio_s": store.audio_s,
        }
        (building / COST).write_text(json.dumps(cost), encoding="utf-8")
        # Whoever comes second keeps the first one's folder: the content is the same.
        with contextlib.suppress(FileExistsError, OSError):
            building.rename(folder)
        if not (folder / COST).is_file():
            raise FileNotFoundError(f"{folder / COST} was not written")
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _cpu_seconds() -> float:
    import resource

    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _compute(
    store: WaveformStore,
    spec: FeatureSpec,
    path: Path,
    workers: int,
    statistics: Statistics | None,
    progress: Progress | None,
) -> tuple[np.ndarray, Statistics]:
    groups = groups_of(store.num_samples, GROUP_SAMPLES)
    offsets = frame_offsets(store.num_samples, spec)
    with path.open("wb") as file:
        file.truncate(max(int(offsets[-1]) * spec.dim * 2, 2))
    provisional = statistics or provisional_statistics(store, groups, spec, torch.device("cpu"))
    spans = [(part[0][0], part[-1][1]) for part in _chunks(groups, _GROUPS_PER_JOB)]
    jobs = [_job(store, span, spec, provisional, path, int(offsets[span[0]])) for span in spans]
    workers = workers or (available_cores() if store.audio_s >= _MIN_WORKER_AUDIO_S else 1)
    total, squares = np.zeros(spec.dim), np.zeros(spec.dim)
    for number, (part, square) in enumerate(run_jobs(run_job, jobs, workers), 1):
        total, squares = total + part, squares + square
        if progress is not None:
            progress("computing features", number / len(jobs))
    if statistics is not None:
        return offsets, statistics
    frames = np.memmap(path, np.float16, "r+", shape=(int(offsets[-1]), spec.dim))
    exact = finish(frames, spec, provisional, (total, squares))
    frames.flush()
    return offsets, exact


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


def _open(folder: Path, spec: FeatureSpec, *, reused: bool) -> CachedFeatures:
    with np.load(folder / ARRAYS) as arrays:
        offsets, mean, std = arrays["offsets"], arrays["mean"], arrays["std"]
    shape = (int(offsets[-1]), spec.dim)
    if (folder / FRAMES).stat().st_size < shape[0] * shape[1] * 2:
        raise ValueError(f"{FRAMES} is shorter than its index says")
    frames = np.memmap(folder / FRAMES, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)
    cost = json.loads((folder / COST).read_text(encoding="utf-8"))
    store = FeatureStore(spec, frames, offsets, mean, std)
    return CachedFeatures(store, cost["seconds"], cost["cpu_seconds"], cost["joules"], reused)
