"""Parts of a record: each in a process of its own, under a time limit, written as it ends, its error kept.

A part that spoils the card's context, hangs or is killed ends alone. The processes are forked from one that has loaded
the libraries and has touched no card, so that starting one takes no time that a card waits for.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import tarfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from greenbench.records import write_whole
from greenbench.trial.process import die_with_parent

PARTS = "parts"


@dataclass(frozen=True)
class Options:
    """What is asked of a record; ``batch_s`` and ``crop_s`` are of audio, ``seconds`` those of a metered stretch."""

    out: Path
    device: str = "cuda"
    quick: bool = False
    minutes: float = 8.5
    size: str = "base"
    batch_s: float = 320.0
    crop_s: float = 10.0
    seconds: float = 8.0
    joules: float = 5000.0

    @property
    def on_gpu(self) -> bool:
        """Whether a card computes."""
        return self.device.startswith("cuda")

    @property
    def dtype(self) -> str:
        """The number format of the ladder."""
        return "bfloat16" if self.on_gpu else "float32"


Work = Callable[..., dict[str, Any]]


class Recorder:
    """Runs parts one after the other, and some beside them; knows what time is left."""

    def __init__(self, options: Options) -> None:
        self.options, self.out = options, options.out
        (self.out / PARTS).mkdir(parents=True, exist_ok=True)
        self._ends = time.monotonic() + 60 * options.minutes
        self._context: Any = multiprocessing.get_context("fork")
        self._beside: list[tuple[str, BaseProcess, float]] = []
        self.failed: list[str] = []
        """Parts that ended with an error or found what must not be."""

    @property
    def left_s(self) -> float:
        """Seconds until everything must have ended."""
        return self._ends - time.monotonic()

    def load_anew(self) -> None:
        """Let every part load the libraries itself: slow, and the way out where one has touched the card on loading."""
        self._context = multiprocessing.get_context("spawn")
        self.failed.clear()

    def part(self, name: str, work: Work, *arguments: Any, limit_s: float, keep_s: float = 0.0) -> dict[str, Any]:
        """Run a part to its end or its limit and return what it found; ``keep_s`` are those of later parts."""
        room_s = self.left_s - keep_s
        if room_s < min(limit_s, 5.0):
            return self._write(name, {"skipped": f"{self.left_s:.0f} s left, {keep_s:.0f} s of them for later parts"})
        began = time.monotonic()
        self._wait(name, self._start(name, work, arguments), min(limit_s, room_s))
        found = self._read(name)
        if "error" in found or found.get("passed") is False:
            self.failed.append(name)
        print(f"{time.monotonic() - began:6.1f} s  {name}: {in_a_line(found)}", flush=True)
        return found

    def beside(self, name: str, work: Work, *arguments: Any, limit_s: float) -> None:
        """Begin a part and go on; :meth:`join` waits for it."""
        self._beside.append((name, self._start(name, work, arguments), time.monotonic() + limit_s))

    def join(self) -> None:
        """Wait for the parts that run beside, each to its limit."""
        for name, process, ends in self._beside:
            self._wait(name, process, min(ends - time.monotonic(), self.left_s))
        self._beside.clear()

    def _start(self, name: str, work: Work, arguments: tuple[Any, ...]) -> BaseProcess:
        self._path(name).unlink(missing_ok=True)
        process: BaseProcess = self._context.Process(
            target=_work, args=(self._path(name), work, self.options, arguments)
        )
        process.start()
        return process

    def _wait(self, name: str, process: BaseProcess, limit_s: float) -> None:
        process.join(max(0.1, limit_s))
        late = process.is_alive()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)  # whatever it has started ends with it
        process.join()
        if not self._path(name).exists():
            end = f"stopped after its {limit_s:.0f} s" if late else f"its process ended with code {process.exitcode}"
            self._write(name, {"error": f"{end}; see {PARTS}/{name}.log"})

    def _path(self, name: str) -> Path:
        return self.out / PARTS / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self._path(name).read_text(encoding="utf-8")))

    def _write(self, name: str, found: dict[str, Any]) -> dict[str, Any]:
        write_whole(self._path(name), json.dumps(found, indent=1) + "\n")
        return found


def _work(path: Path, work: Work, options: Options, arguments: tuple[Any, ...]) -> None:
    """Run a part in its process: a group of its own, its words in a file, its findings or its error in another."""
    os.setsid()
    die_with_parent()
    log = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    began = time.monotonic()
    try:
        found = work(options, *arguments)
    except BaseException as error:  # also what asks a process to exit: the next part must begin
        words = next((line for line in str(error).splitlines() if line.strip()), "")
        found = {"error": f"{type(error).__name__}: {words}", "traceback": traceback.format_exc(limit=8)}
    found["took_s"] = round(time.monotonic() - began, 2)
    write_whole(path, json.dumps(found, indent=1, default=str) + "\n")


def in_a_line(found: dict[str, Any]) -> str:
    """The findings of a part, as far as they fit into a line."""
    for key in ("error", "skipped"):
        if key in found:
            return f"{key}: {found[key]}"
    if "line" in found:
        return str(found["line"])
    plain = {k: v for k, v in found.items() if isinstance(v, (bool, int, float, str)) and k != "took_s"}
    text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items())
    return text if len(text) < 300 else text[:297] + "..."


def archive(out: Path) -> Path:
    """Pack a record into one file beside its parts, without the weights of the models it has trained."""
    path = out / "record.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for file in sorted(out.rglob("*")):
            if file.is_file() and file != path and "checkpoints" not in file.parts:
                packed.add(file, Path(out.name) / file.relative_to(out))
    return path
