"""Worker processes for decoding and feature extraction.

Neither ``fork`` (unsafe beside PyTorch's threads) nor ``multiprocessing``'s ``spawn`` (runs the user's main script
again) is used: a worker is a fresh interpreter that imports one function and answers jobs over its pipes. A worker
that dies on a job, for example in a decoder's native code, costs that job only.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_STARTUP_S = 0.5
_DECODED_PER_CORE_S = 500.0
# A terminal's Ctrl-C reaches every process of the group: who ends a worker is its parent, not the terminal.
_ENTRY = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = json.loads(sys.argv[2]); "
    "from greenbench.audio.workers import serve; serve()"
)


def available_cores() -> int:
    """The cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(jobs: int, audio_s: float) -> int:
    """How many processes are worth starting to decode ``audio_s`` seconds in ``jobs`` pieces."""
    if audio_s / _DECODED_PER_CORE_S < 2 * _STARTUP_S:
        return 1
    return max(1, min(available_cores(), jobs))


def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    crashed: Callable[[Job, int], Result] | None = None,
) -> Iterator[Result]:
    """Yield ``function(job)`` for every job, in order, computed in ``workers`` processes (1: in this process).

    ``function`` must be importable by name; jobs and results must pickle. ``crashed(job, exit status)`` gives the
    result of a job whose worker died; without it that raises RuntimeError. An exception of ``function`` is raised here.
    """
    if workers <= 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    pool = _Pool(f"{function.__module__}:{function.__qualname__}", jobs)
    try:
        pool.start(min(workers, len(jobs)))
        for index in range(len(jobs)):
            kind, value = pool.result(index)
            if kind == "raised":
                raise value
            if kind == "died":
                if crashed is None:
                    raise RuntimeError(f"a worker process died with status {value}")
                value = crashed(jobs[index], value)
            yield value
    finally:
        pool.close()


class _Pool:
    """One thread and one worker process a core; a thread hands out jobs and collects answers."""

    def __init__(self, function: str, jobs: Sequence[Any]) -> None:
        self._function, self._jobs = function, jobs
        self._next = 0
        self._results: dict[int, tuple[str, Any]] = {}
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(self, workers: int) -> None:
        self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def result(self, index: int) -> tuple[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: index in self._results)
            return self._results.pop(index)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _take(self) -> int | None:
        with self._changed:
            if self._closed or self._next >= len(self._jobs):
                return None
            self._next += 1
            return self._next - 1

    def _drive(self) -> None:
        process: subprocess.Popen[bytes] | None = None
        while (index := self._take()) is not None:
            try:
                process = process or self._launch()
                answer = _ask(process, self._jobs[index])
            except (OSError, EOFError) as error:
                status = self._stop(process) if process is not None else -1
                process = None
                answer = ("died", status) if not isinstance(error, FileNotFoundError) else ("raised", error)
            except Exception as error:  # a job that does not pickle; handed to the caller, who raises it
                answer = ("raised", error)
            with self._changed:
                self._results[index] = answer
                self._changed.notify_all()
        if process is not None:
            self._stop(process)

    def _launch(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _ENTRY, self._function, json.dumps(sys.path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        with self._changed:
            self._processes.add(process)
            if self._closed:
                process.kill()
        return process

    def _stop(self, process: subprocess.Popen[bytes]) -> int:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        status = process.wait()
        with self._changed:
            self._processes.discard(process)
        return status


def _ask(process: subprocess.Popen[bytes], job: Any) -> tuple[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    _send(process.stdin, job)
    answer: tuple[str, Any] = _receive(process.stdout)
    return answer


def _send(pipe: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(struct.pack("<Q", len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    header = pipe.read(8)
    if len(header) < 8:
        raise EOFError
    data = pipe.read(struct.unpack("<Q", header)[0])
    return pickle.loads(data)  # written by our own worker


def serve() -> None:
    """Answer jobs on the standard streams until they close; the body of a worker process."""
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    while True:
        try:
            job = _receive(jobs)
        except EOFError:
            return
        try:
            answer = ("done", function(job))
        except Exception as error:  # handed over to the caller, who raises it
            answer = ("raised", error)
        _send(answers, answer)
