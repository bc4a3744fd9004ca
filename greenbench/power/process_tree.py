"""CPU time and memory of a process and everything it starts, without losing children that have exited."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

_PROC = "/proc"
_RESCAN_S = 1.0
_THREADS_EVERY = 5


@dataclass(slots=True)
class _Member:
    start_ticks: int
    own_s: float = 0.0
    reaped_s: float = 0.0
    descriptor: int = -1


class ProcessTree:
    """Follows process trees by reading ``/proc`` directly (psutil where there is no ``/proc``).

    ``cpu_s`` never decreases. A child that was waited for is in its parent's ``cutime``; one that was not
    (killed, orphaned, ``SIGCHLD`` ignored) keeps the CPU time last seen.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._members: dict[int, _Member] = {}
        self._roots: set[int] = set()
        self._before_watch_s = 0.0
        self._gone_s = 0.0
        self._next_scan_s = 0.0
        self._scans = 0
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
        # Kernels without CONFIG_PROC_CHILDREN have no such file.
        self._has_children_files = os.path.exists(f"{_PROC}/self/task/{os.getpid()}/children")  # noqa: PTH110
        self._linux = os.path.isdir(f"{_PROC}/self/task")  # noqa: PTH112  read 20 times a second: no Path objects

    @property
    def tick_s(self) -> float:
        """Resolution of the kernel's CPU accounting in seconds."""
        return self._tick_s

    @property
    def watching(self) -> bool:
        """Whether anything was ever watched."""
        return bool(self._roots)

    @property
    def pids(self) -> set[int]:
        """Processes of the tree that were alive at the last update."""
        return set(self._members)

    def watch(self, pid: int) -> bool:
        """Follow ``pid`` and its children from now on; False where there is no such process."""
        self.update()
        self._roots.add(pid)
        reading = self._read(pid)
        if reading is None:
            return False
        if pid not in self._members:
            start, own, reaped = reading
            self._members[pid] = _Member(start, own, reaped)
            self._before_watch_s += own + reaped
            self._adopt_children(before=True)
        return True

    def correct(self, pid: int, total_cpu_s: float) -> None:
        """Take over the exact CPU time of an ended root, children included, as its parent got it from wait4.

        Only valid for a process that was watched from its start: what is missing from the last update is added.
        """
        if pid not in self._roots or pid in self._members:
            return
        if len(self._roots) == 1:
            self._gone_s += max(0.0, total_cpu_s - self.cpu_s)
            self.cpu_s = max(self.cpu_s, total_cpu_s)

    def update(self, *, rescan: bool = False) -> float:
        """Read the tree again and return its CPU seconds since it was first watched."""
        if not self._members:
            return self.cpu_s
        now_s = time.monotonic()
        if rescan or now_s >= self._next_scan_s:
            self._next_scan_s = now_s + _RESCAN_S
            self._adopt_children(before=False)
        total, reaped_gain, vanished = 0.0, 0.0, 0.0
        for pid, member in list(self._members.items()):
            reading = self._reread(pid, member)
            if reading is None or reading[0] != member.start_ticks:
                vanished += member.own_s + member.reaped_s
                self._forget(pid)
                continue
            reaped_gain += reading[2] - member.reaped_s
            member.own_s, member.reaped_s = reading[1], reading[2]
            total += reading[1] + reading[2]
        self._gone_s += max(0.0, vanished - reaped_gain)
        self.cpu_s = max(self.cpu_s, total + self._gone_s - self._before_watch_s)
        return self.cpu_s

    def resident_bytes(self) -> int:
        """Return the memory held by the tree: private pages of every member plus the largest shared part."""
        private, shared = 0, 0
        page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        for pid in self._members:
            try:
                with open(f"{_PROC}/{pid}/statm", "rb") as stream:  # noqa: PTH123
                    cells = stream.read().split()
                private += (int(cells[1]) - int(cells[2])) * page
                shared = max(shared, int(cells[2]) * page)
            except (OSError, IndexError, ValueError):
                if not self._linux:
                    private += _psutil_resident(pid)
        return private + shared

    def _adopt_children(self, *, before: bool) -> None:
        # Children of the main thread every time, of the other threads (a trainer has dozens) every few times:
        # a late find loses nothing, because a process brings its CPU time along.
        every_thread = before or self._scans % _THREADS_EVERY == 0
        self._scans += 1
        pending = list(self._members)
        own_pid = os.getpid()  # the sampler may be a child of what it watches; it is not part of the work
        while pending:
            for child in self._children(pending.pop(), every_thread=every_thread):
                if child in self._members or child == own_pid:
                    continue
                reading = self._read(child)
                if reading is not None:
                    self._members[child] = _Member(*reading)
                    self._before_watch_s += reading[1] + reading[2] if before else 0.0
                    pending.append(child)

    def _children(self, pid: int, *, every_thread: bool) -> list[int]:
        if not self._has_children_files:
            return _psutil_children(pid)
        found: list[int] = []
        try:
            threads = os.listdir(f"{_PROC}/{pid}/task") if every_thread else [str(pid)]  # noqa: PTH208
            for thread in threads:
                with open(f"{_PROC}/{pid}/task/{thread}/children", "rb", buffering=0) as stream:  # noqa: PTH123
                    found.extend(int(child) for child in stream.read().split())
        except (OSError, ValueError):
            return found  # the process or one of its threads ended meanwhile
        return found

    def _reread(self, pid: int, member: _Member) -> tuple[int, float, float] | None:
        # The file stays open: opening it costs more than reading it, and a closed process reads as ESRCH.
        if not self._linux:
            return _psutil_times(pid)
        try:
            if member.descriptor < 0:
                member.descriptor = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            return self._parse(os.pread(member.descriptor, 1024, 0))
        except OSError:
            return None

    def _forget(self, pid: int) -> None:
        member = self._members.pop(pid)
        if member.descriptor >= 0:
            os.close(member.descriptor)

    def _read(self, pid: int) -> tuple[int, float, float] | None:
        if not self._linux:
            return _psutil_times(pid)
        try:
            with open(f"{_PROC}/{pid}/stat", "rb", buffering=0) as stream:  # noqa: PTH123
                return self._parse(stream.read(1024))
        except OSError:
            return None

    def _parse(self, raw: bytes) -> tuple[int, float, float] | None:
        cells = raw[raw.rfind(b")") + 2 :].split(None, 20)
        if len(cells) < 20:
            return None
        own = int(cells[11]) + int(cells[12])
        reaped = int(cells[13]) + int(cells[14])
        return int(cells[19]), own * self._tick_s, reaped * self._tick_s


def _psutil_times(pid: int) -> tuple[int, float, float] | None:
    import psutil

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        children = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return int(process.create_time() * 100), times.user + times.system, children
    except psutil.Error:
        return None


def _psutil_children(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _psutil_resident(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
