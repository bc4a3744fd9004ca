"""Decoded audio: every file of a corpus once as 16 kHz mono int16 in one memory-mapped file in the cache.

The cache folder's name is a hash over the corpus' fingerprint and the files' sizes and times. It is built under
another name and renamed when whole, so that a reader never meets a half-written one and two builders do no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from greenbench.audio.decode import DecodeJob, DecodePart, decode_into
from greenbench.audio.workers import default_workers, run_jobs
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError, OutputError
from greenbench.progress import Progress
from greenbench.resources import cache_dir
from greenbench.units import SAMPLE_RATE

AUDIO, INDEX = "audio.i16", "index.json"
_LAYOUT = 1


class WaveformStore:
    """The decoded waveforms of some utterances. ``num_samples`` (N,) int64 counts samples at 16 kHz."""

    def __init__(self, utterances: Sequence[Utterance], folder: Path) -> None:
        begins = _read_index(folder)
        missing = next((u.id for u in utterances if u.id not in begins), None)
        if missing is not None:
            raise DataError(f"{folder}: holds no audio of utterance {missing!r}; delete the folder to decode again")
        self.utterances = tuple(utterances)
        self.folder = folder
        self.num_samples = np.array([u.num_samples_16k for u in utterances], dtype=np.int64)
        self.begins = np.array([begins[u.id] for u in utterances], dtype=np.int64)
        size = (folder / AUDIO).stat().st_size // 2
        self._audio = np.memmap(folder / AUDIO, np.int16, "r", shape=(size,)) if size else np.zeros(0, np.int16)

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def audio_path(self) -> Path:
        """The file of all samples, int16; utterance i begins at sample ``begins[i]``."""
        return self.folder / AUDIO

    @property
    def audio_s(self) -> float:
        """The seconds of audio in all."""
        return int(self.num_samples.sum()) / SAMPLE_RATE

    def samples(self, index: int) -> np.ndarray:
        """One utterance as stored, (S,) int16."""
        begin = self.begins[index]
        return self._audio[begin : begin + self.num_samples[index]]

    def waveform(self, index: int) -> np.ndarray:
        """One utterance, (S,) float32 in [-1, 1]."""
        return to_float(self.samples(index))

    def crop(self, index: int, start: int, num_samples: int) -> np.ndarray:
        """``num_samples`` samples of an utterance from ``start`` on, float32 in [-1, 1]."""
        if start < 0 or start + num_samples > self.num_samples[index]:
            length = self.num_samples[index]
            raise IndexError(f"samples {start}..{start + num_samples} of {length} in utterance {index}")
        begin = self.begins[index] + start
        return to_float(self._audio[begin : begin + num_samples])


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert int16 to float32 in [-1, 1]."""
    scaled: np.ndarray = np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
    return scaled


def prepare_waveforms(
    corpus: Corpus, *, workers: int = 0, progress: Progress | None = None
) -> dict[str, WaveformStore]:
    """Decode the corpus unless the cache holds it, and return a store a split.

    ``workers = 0`` takes one process a core; ``progress(text, fraction)`` reports. Raises :class:`OutputError` where
    the cache cannot be written and :class:`DataError` where a file turns out to be damaged.
    """
    folder = _decoded(corpus, workers, progress)
    return {name: WaveformStore(corpus.split(name), folder) for name in corpus.splits}


def cache_key(corpus: Corpus) -> str:
    """The name of the corpus' cache folder: it changes with any id, stretch, channel, file size or time."""
    hasher = hashlib.sha256(f"{_LAYOUT} {corpus.fingerprint} {SAMPLE_RATE}".encode())
    for u in _distinct(corpus):
        hasher.update(f"{u.id}\t{u.path}\t{u.offset}\t{u.num_samples}\t{u.channel}\t{u.gain!r}\n".encode())
    for path in sorted({u.path for u in corpus.utterances}):
        try:
            status = Path(path).stat()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); restore the file or scan the folder again"
            ) from error
        hasher.update(f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return hasher.hexdigest()[:20]


def _decoded(corpus: Corpus, workers: int, progress: Progress | None) -> Path:
    root = cache_dir() / "audio"
    folder = root / cache_key(corpus)
    if _is_whole(folder, corpus):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with only_one(root / f"{folder.name}.lock"):
            if not _is_whole(folder, corpus):
                _build(corpus, folder, workers, progress)
    except OSError as error:
        raise OutputError(
            f"{root}: decoded audio cannot be stored ({error.strerror or error}); "
            "free space or set GREENBENCH_CACHE to a writable folder"
        ) from error
    return folder


def _is_whole(folder: Path, corpus: Corpus) -> bool:
    """Whether the folder has an index and an audio file of the length that the corpus asks for."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        size = (folder / AUDIO).stat().st_size
    except (OSError, ValueError):
        return False
    expected = sum(u.num_samples_16k for u in _distinct(corpus))
    return bool(index.get("layout") == _LAYOUT) and size == 2 * expected == 2 * index.get("samples", -1)


def _read_index(folder: Path) -> dict[str, int]:
    try:
        return dict(json.loads((folder / INDEX).read_text(encoding="utf-8"))["begins"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder / INDEX}: damaged ({error}); delete the folder to decode again") from error


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Let a second process wait for the first instead of decoding the same files; correctness does not need it."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    with lock.open("w") as file:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _distinct(corpus: Corpus) -> list[Utterance]:
    return list({u.id: u for u in corpus.utterances}.values())


def _build(corpus: Corpus, folder: Path, workers: int, progress: Progress | None) -> None:
    utterances = sorted(_distinct(corpus), key=lambda u: (u.path, u.offset))
    begins: dict[str, int] = {}
    by_file: dict[str, list[DecodePart]] = {}
    gains = {u.path: u.gain for u in utterances}
    position = 0
    for utterance in utterances:
        begins[utterance.id] = position
        channel = -1 if utterance.channel is None else utterance.channel
        part = DecodePart(utterance.offset, utterance.num_samples, position, channel)
        by_file.setdefault(utterance.path, []).append(part)
        position += utterance.num_samples_16k
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        with (building / AUDIO).open("wb") as file:
            if position:
                reserve(file.fileno(), 2 * position)
        jobs = [DecodeJob(path, tuple(parts), str(building / AUDIO), gains[path]) for path, parts in by_file.items()]
        _decode_all(jobs, position, workers, progress)
        text = json.dumps({"layout": _LAYOUT, "samples": position, "begins": begins})
        (building / INDEX).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def reserve(descriptor: int, size: int) -> None:
    """Take ``size`` bytes of disk space at once: a full disk is found here, not after minutes of work.

    Writing through a memory map to space that is not there would end the process by a signal.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _decode_all(jobs: list[DecodeJob], total: int, workers: int, progress: Progress | None) -> None:
    # The longest first, so that no worker is left alone with a big file at the end.
    jobs.sort(key=lambda job: -job.num_samples)
    seconds = sum(job.num_samples for job in jobs) / SAMPLE_RATE
    workers = workers or default_workers(len(jobs), seconds)
    done, problems = 0, []
    for job, problem in zip(jobs, run_jobs(decode_into, jobs, workers), strict=True):
        if problem is not None:
            problems.append(f"{job.path}: {problem}")
        done += job.num_samples
        if progress is not None:
            progress("decoding audio", done / max(total, 1))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}; replace or delete the file, or leave it out of the manifest")
