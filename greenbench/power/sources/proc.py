"""One process as the operating system tells of it: CPU time, memory, children. Linux' ``/proc``, elsewhere psutil."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

PROC = "/proc"
LINUX = Path(f"{PROC}/self/task").is_dir()
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_CHUNK_BYTES = 4096
# Kernels without CONFIG_PROC_CHILDREN have no such file.
_HAS_CHILDREN_FILES = Path(f"{PROC}/self/task/{os.getpid()}/children").exists()


class Times(NamedTuple):
    """When a process started (ticks since boot), who started it, its own CPU time, and that of children waited for.

    ``running`` is False for one that has ended and that nobody has waited for yet.
    """

    start_ticks: int
    parent: int
    own_s: float
    reaped_s: float
    running: bool = True


def read_file(path: str) -> bytes:
    """All of a small file. File objects also ask for the kind, the size and the position: twice the system calls.

    Raises:
        OSError: it is not there, or not ours to read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = b""
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            raw += chunk
        return raw
    finally:
        os.close(descriptor)


def times(pid: int) -> Times | None:
    """What the kernel has booked for a process; None where there is none."""
    if not LINUX:
        return _psutil_times(pid)
    try:
        raw = read_file(f"{PROC}/{pid}/stat")
    except OSError:
        return None
    cells = raw[raw.rfind(b")") + 2 :].split(None, 20)
    if len(cells) < 20:
        return None
    own, reaped = int(cells[11]) + int(cells[12]), int(cells[13]) + int(cells[14])
    return Times(int(cells[19]), int(cells[1]), own * TICK_S, reaped * TICK_S, cells[0] not in (b"Z", b"X"))


def started_s(start_ticks: int) -> float:
    """When a process started, by the monotonic clock; now where that cannot be told."""
    now_s = time.monotonic()
    if not LINUX or not hasattr(time, "CLOCK_BOOTTIME"):
        return now_s
    asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - now_s  # ticks count the machine's sleep, this clock does not
    return min(now_s, start_ticks * TICK_S - asleep_s)


def cpu_clock(pid: int) -> int | None:
    """The POSIX clock of a process's own CPU time, as clock_getcpuclockid(3) makes it; None without one."""
    if not LINUX:
        return None
    clock = (~pid << 3) | 2
    try:
        time.clock_gettime(clock)
    except OSError:
        return None
    return clock


def children(pid: int, *, every_thread: bool) -> list[int]:
    """Processes started by a process's main thread, or by any of its threads."""
    if not _HAS_CHILDREN_FILES:
        return _psutil_children(pid)
    found: list[int] = []
    try:
        with os.scandir(f"{PROC}/{pid}/task") as tasks:
            threads = [task.name for task in tasks] if every_thread else [str(pid)]
        for thread in threads:
            found.extend(map(int, read_file(f"{PROC}/{pid}/task/{thread}/children").split()))
    except (OSError, ValueError):
        return found  # the process or one of its threads ended meanwhile
    return found


def held_bytes(pid: int) -> tuple[int, int]:
    """Private and shared memory of a process; nothing of one that has ended."""
    if not LINUX:
        return _psutil_resident(pid), 0
    try:
        cells = read_file(f"{PROC}/{pid}/statm").split()
        page = os.sysconf("SC_PAGE_SIZE")
        return (int(cells[1]) - int(cells[2])) * page, int(cells[2]) * page
    except (OSError, IndexError, ValueError):
        return 0, 0


class NewProcesses:
    """Processes that began since the last look and carry a mark in their environment, wherever in the tree they hang.

    Who starts a process hands its environment on. A daemon that has left its parents behind is found by it.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()
        self._seen_to = self._looked_to = self._last_pid()

    def look(self) -> list[int]:
        """Marked processes among those begun since the look before the last: a young one may not have come to exec."""
        if not self._mark or not LINUX:
            return []
        last = self._last_pid()
        if last == self._seen_to == self._looked_to:
            return []
        numbers = range(self._seen_to + 1, last + 1) if last >= self._seen_to else self._all()
        self._seen_to, self._looked_to = self._looked_to, last
        return [pid for pid in numbers if self._marked(pid)]

    @staticmethod
    def _last_pid() -> int:
        try:
            return int(read_file(f"{PROC}/loadavg").split()[-1])
        except (OSError, ValueError, IndexError):
            return 0

    @staticmethod
    def _all() -> list[int]:
        with os.scandir(PROC) as entries:
            return [int(entry.name) for entry in entries if entry.name.isdigit()]

    def _marked(self, pid: int) -> bool:
        try:
            if self._mark not in read_file(f"{PROC}/{pid}/environ"):
                return False
            return f"\nTgid:\t{pid}\n".encode() in read_file(f"{PROC}/{pid}/status")  # not one of its threads
        except OSError:
            return False


def _psutil_times(pid: int) -> Times | None:
    import psutil

    try:
        process = psutil.Process(pid)
        cpu = process.cpu_times()
        reaped_s = getattr(cpu, "children_user", 0.0) + getattr(cpu, "children_system", 0.0)
        return Times(int(process.create_time() * 100), process.ppid(), cpu.user + cpu.system, reaped_s)
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
