"""Stop a process of a run at one operation on its files, and step its wall clock: the killing side of ``stop.c``."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import struct
import subprocess
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

_PLAN = struct.Struct("=qIIII16s16s96s160s96s")
_SOURCE = Path(__file__).with_name("stop.c")


@dataclass(frozen=True)
class Stop:
    """Where a process is to stop: at the ``nth`` operation, once the text ``gate`` was written ``gate_nth`` times.

    ``role``: harness, trainer or sampler. ``op``: open (to write), write, fsync, rename, mkdir, unlink, rmdir or any;
    ``path`` and ``needle`` must be in the path and in what is written. ``nth = 0``: right after the gate was written.
    """

    role: str
    gate: str = ""
    gate_nth: int = 0
    op: str = "any"
    path: str = ""
    needle: str = ""
    nth: int = 1
    after: bool = False


@dataclass(frozen=True)
class Stopped:
    """A process that has stopped, and at what."""

    pid: int
    op: str
    path: str


class Stops:
    """The library, the plan that it reads and the pipe by which it answers, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._library, self._file, self._pipe = folder / "stop.so", folder / "plan", folder / "stopped"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True)
        self._file.write_bytes(bytes(_PLAN.size))
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _PLAN.size)
        self._pipe.unlink(missing_ok=True)
        os.mkfifo(self._pipe)
        self._reader = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        self._generation, self.clock_s = 0, 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What a run needs in its environment to be stopped."""
        names = {"LD_PRELOAD": self._library, "GREENBENCH_STOPS": self._file, "GREENBENCH_STOPPED": self._pipe}
        return {key: str(path) for key, path in names.items()}

    def arm(self, stop: Stop | None) -> None:
        """Plan the next stop; None: nothing stops any more."""
        self._map[8:12] = bytes(4)  # no process must read half of a plan
        while select.select([self._reader], [], [], 0)[0]:
            os.read(self._reader, 4096)
        if stop is None:
            return
        self._generation += 1
        role, gate, gate_nth, op, path, needle, nth, after = astuple(stop)
        texts = (text.encode() for text in (role, op, gate, path, needle))
        self._map[12:] = _PLAN.pack(0, 0, gate_nth, nth, after, *texts)[12:]
        self._map[8:12] = struct.pack("=I", self._generation)

    def step_clock(self, seconds: float) -> None:
        """Let the wall clock of every process of the run jump; monotonic clocks go on."""
        self.clock_s += seconds
        self._map[:8] = struct.pack("=q", round(self.clock_s * 1e9))

    def wait(self, timeout_s: float) -> Stopped | None:
        """Wait until a process has stopped."""
        if not select.select([self._reader], [], [], timeout_s)[0]:
            return None
        pid, op, path = os.read(self._reader, 4096).decode(errors="replace").splitlines()[0].split(" ", 2)
        # It says so just before it stops: what woke it up before that would be lost.
        with contextlib.suppress(psutil.NoSuchProcess):
            while psutil.Process(int(pid)).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.001)
        return Stopped(int(pid), op, path)
