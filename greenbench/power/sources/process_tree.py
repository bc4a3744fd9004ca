"""CPU time and memory of a process and everything it starts, without losing children that have exited."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

_PROC = "/proc"
_RESCAN_S = 1.0
_THREADS_EVERY = 5
_CHUNK_BYTES = 4096


@dataclass(slots=True)
class _Member:
    start_ticks: int
    own_s: float
    reaped_s: float
    clock: int | None


class ProcessTree:
    """Follows process trees by their CPU clocks and ``/proc`` (psutil where there is no ``/proc``).

    ``cpu_s`` never decreases. A child that was waited for is in its parent's ``cutime``; one that was not
    (killed, orphaned, ``SIGCHLD`` ignored) keeps the CPU time last seen.

    A process's own CPU time is one system call, its POSIX clock. ``cutime`` and the list of children cost many times
    that: they are read at updates a second apart, when a member has ended, and at every update for a second after
    ``cutime`` grew.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._members: dict[int, _Member] = {}
        self._roots: set[int] = set()
        self._before_watch_s = 0.0
        self._gone_s = 0.0
        self._reaped_s = 0.0
        self._next_scan_s = 0.0
        self._reaping_until_s = 0.0
        self._scans = 0
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
        # Kernels without CONFIG_PROC_CHILDREN have no such file.
        self._has_children_files = os.path.exists(f"{_PROC}/self/task/{os.getpid()}/children")  # noqa: PTH110
        self._linux = os.path.isdir(f"{_PROC}/self/task")  # noqa: PTH112

    @property
    def tick_s(self) -> float:
        """Resolution of the kernel's CPU accounting in seconds: of ended children, at worst of running threads."""
        return self._tick_s

    @property
    def _others_s(self) -> float:
        """What is added to the members' own CPU time: children that have ended, less what was used before watching."""
        return self._reaped_s + self._gone_s - self._before_watch_s

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
        self.update(rescan=True)
        self._roots.add(pid)
        if pid not in self._members:
            if not self._adopt(pid, before=True):
                return False
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
        """Read the tree again and return its CPU seconds since it was first watched.

        With ``rescan`` new children and what ended ones had used are looked for now, not within a second.
        """
        if not self._members:
            return self.cpu_s
        now_s = time.monotonic()
        own_s = None
        if rescan or now_s >= self._next_scan_s:
            self._next_scan_s = now_s + _RESCAN_S
            self._adopt_children(before=False)
        elif now_s >= self._reaping_until_s:
            own_s = self._read_clocks()
        if own_s is None:
            own_s = self._read_all(now_s)
        self.cpu_s = max(self.cpu_s, own_s + self._others_s)
        return self.cpu_s

    def resident_bytes(self) -> int:
        """The memory held by the tree: private pages of every member plus the largest shared part."""
        private, shared = 0, 0
        page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        for pid in self._members:
            try:
                cells = _read_file(f"{_PROC}/{pid}/statm").split()
                private += (int(cells[1]) - int(cells[2])) * page
                shared = max(shared, int(cells[2]) * page)
            except (OSError, IndexError, ValueError):
                if not self._linux:
                    private += _psutil_resident(pid)
        return private + shared

    def _read_clocks(self) -> float | None:
        """What the members have used themselves; None where one has ended or has no clock."""
        total_s = 0.0
        try:
            for member in self._members.values():
                if member.clock is None:
                    return None
                member.own_s = time.clock_gettime(member.clock)
                total_s += member.own_s
        except OSError:
            return None
        return total_s

    def _read_all(self, now_s: float) -> float:
        """What the members have used themselves; settle who has ended and whose children were waited for."""
        ended_s = 0.0
        while True:
            readings = {pid: self._read(pid) for pid in self._members}
            # Who is alive after every cutime was read is in none of them; who is not must be in the next ones.
            ended = [pid for pid, reading in readings.items() if not _refresh(self._members[pid], reading)]
            if not ended:
                break
            for member in map(self._members.pop, ended):
                ended_s += member.own_s + member.reaped_s
        own_s = self._reaped_s = gain_s = 0.0
        gaining = 0
        for pid, member in self._members.items():
            _, _, reaped_s = readings[pid] or (0, 0.0, member.reaped_s)
            gaining += reaped_s > member.reaped_s
            gain_s += reaped_s - member.reaped_s
            member.reaped_s = reaped_s
            own_s += member.own_s
            self._reaped_s += reaped_s
        if gain_s > 0:
            self._reaping_until_s = now_s + _RESCAN_S
        # cutime is cut to ticks, user and system time each: a waited-for child may seem to be short of up to two.
        cut_s = 2 * self._tick_s * max(gaining, 1) if self._members else 0.0
        if ended_s - gain_s > cut_s:
            self._gone_s += ended_s - gain_s
        return own_s

    def _adopt(self, pid: int, *, before: bool) -> bool:
        reading = self._read(pid)
        if reading is None:
            return False
        member = _Member(*reading, clock=_cpu_clock(pid) if self._linux else None)
        _refresh(member, reading)
        self._members[pid] = member
        self._reaped_s += member.reaped_s
        self._before_watch_s += member.own_s + member.reaped_s if before else 0.0
        return True

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
                if self._adopt(child, before=before):
                    pending.append(child)

    def _children(self, pid: int, *, every_thread: bool) -> list[int]:
        if not self._has_children_files:
            return _psutil_children(pid)
        found: list[int] = []
        try:
            threads = os.listdir(f"{_PROC}/{pid}/task") if every_thread else [str(pid)]  # noqa: PTH208
            for thread in threads:
                found.extend(map(int, _read_file(f"{_PROC}/{pid}/task/{thread}/children").split()))
        except (OSError, ValueError):
            return found  # the process or one of its threads ended meanwhile
        return found

    def _read(self, pid: int) -> tuple[int, float, float] | None:
        if not self._linux:
            return _psutil_times(pid)
        try:
            raw = _read_file(f"{_PROC}/{pid}/stat")
        except OSError:
            return None
        cells = raw[raw.rfind(b")") + 2 :].split(None, 20)
        if len(cells) < 20:
            return None
        own = int(cells[11]) + int(cells[12])
        reaped = int(cells[13]) + int(cells[14])
        return int(cells[19]), own * self._tick_s, reaped * self._tick_s


def _cpu_clock(pid: int) -> int | None:
    """The POSIX clock of a process's own CPU time, as clock_getcpuclockid(3) makes it; None without one."""
    clock = (~pid << 3) | 2
    try:
        time.clock_gettime(clock)
    except OSError:
        return None
    return clock


def _refresh(member: _Member, reading: tuple[int, float, float] | None) -> bool:
    """Take over a member's own CPU time; False where that process has ended."""
    if reading is None or reading[0] != member.start_ticks:
        return False
    try:
        member.own_s = reading[1] if member.clock is None else time.clock_gettime(member.clock)
    except OSError:
        return False
    return True


def _read_file(path: str) -> bytes:
    # File objects also ask for the kind, the size and the position: twice the system calls.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = b""
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            raw += chunk
        return raw
    finally:
        os.close(descriptor)


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
