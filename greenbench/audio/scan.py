"""Probe many audio files in parallel and remember the result by path, size and time of change."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from greenbench.audio.info import AudioInfo, probe_file, probe_header
from greenbench.audio.workers import available_cores, run_jobs
from greenbench.progress import Progress
from greenbench.resources import cache_dir

_VERSION = 2
_MIN_FILES_FOR_WORKERS = 200
_CHUNK = 32


def probe_all(
    paths: Sequence[str], *, verify: bool = True, workers: int = 0, progress: Progress | None = None
) -> dict[str, AudioInfo]:
    """What every file holds. ``verify`` decodes them whole; ``False`` reads the headers.

    A second scan opens only files that are new or have changed; an interrupted one goes on where it stopped. Without
    a writable cache it works as well, from the beginning each time.
    """
    paths = list(dict.fromkeys(paths))
    stamps = {path: stamp for path in paths if (stamp := _stamp(path)) is not None}
    results = {path: AudioInfo(problem="is missing") for path in paths if path not in stamps}
    with _memory(verify=verify) as memory:
        results.update(memory.recall(stamps))
        todo = [path for path in paths if path not in results]
        chunks = [todo[i : i + _CHUNK] for i in range(0, len(todo), _CHUNK)]
        if not workers:
            workers = available_cores() if len(todo) >= _MIN_FILES_FOR_WORKERS else 1
        function = _verify_chunk if verify else _header_chunk
        done = 0
        for chunk, infos in zip(chunks, run_jobs(function, chunks, workers, crashed=_crashed), strict=True):
            found = dict(zip(chunk, infos, strict=True))
            memory.remember({path: (stamps[path], info) for path, info in found.items()})
            results.update(found)
            done += len(chunk)
            if progress is not None:
                progress("reading audio files", done / len(todo))
    return results


def _verify_chunk(paths: list[str]) -> list[AudioInfo]:
    return [probe_file(path) for path in paths]


def _header_chunk(paths: list[str]) -> list[AudioInfo]:
    return [probe_header(path) for path in paths]


def _crashed(paths: list[str], status: int) -> list[AudioInfo]:
    """Find the file that killed a worker: each of the chunk's gets a worker of its own."""
    if len(paths) == 1:
        return [AudioInfo(problem=f"crashes the decoder (status {status})")]
    single = [[path] for path in paths]
    return [infos[0] for infos in run_jobs(_verify_chunk, single, 2, crashed=_crashed)]


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class _Memory:
    """The scan cache: one SQLite table, safe for several processes; without a connection it remembers nothing."""

    def __init__(self, connection: sqlite3.Connection | None, kind: str) -> None:
        self._connection, self._kind = connection, kind

    def recall(self, stamps: dict[str, tuple[int, int]]) -> dict[str, AudioInfo]:
        if self._connection is None:
            return {}
        found = {}
        for path, (size, mtime_ns) in stamps.items():
            key = (str(Path(path).absolute()), self._kind)
            row = self._connection.execute("SELECT size, mtime_ns, info FROM files WHERE path=? AND kind=?", key)
            for known_size, known_time, info in row:
                if (known_size, known_time) == (size, mtime_ns):
                    found[path] = _info(info)
        return found

    def remember(self, infos: dict[str, tuple[tuple[int, int], AudioInfo]]) -> None:
        if self._connection is None:
            return
        rows = [
            (str(Path(path).absolute()), self._kind, size, mtime_ns, json.dumps(asdict(info)))
            for path, ((size, mtime_ns), info) in infos.items()
        ]
        with contextlib.suppress(sqlite3.Error), self._connection:  # a full disk must not end the scan
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)


def _info(text: str) -> AudioInfo:
    values = json.loads(text)
    return AudioInfo(**{**values, "silent": tuple(values["silent"])})


@contextlib.contextmanager
def _memory(*, verify: bool) -> Iterator[_Memory]:
    kind = f"{'whole' if verify else 'header'}-{_VERSION}"
    connection = None
    try:
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        connection = _open(folder / "scan.sqlite")
    except (OSError, sqlite3.Error):
        connection = None
    try:
        yield _Memory(connection, kind)
    finally:
        if connection is not None:
            connection.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS files (path TEXT, kind TEXT, size INTEGER, mtime_ns INTEGER, info TEXT, "
        "PRIMARY KEY (path, kind))"
    )
    return connection
