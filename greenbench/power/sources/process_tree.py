"""CPU time and memory of a process and everything it starts, without losing children that have exited or gone away."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from greenbench.power.sources import proc

_RESCAN_S = 1.0
_THREADS_EVERY = 5
_MOST_ANCESTORS = 32


@dataclass(slots=True)
class _Member:
    start_ticks: int
    own_s: float
    reaped_s: float
    clock: int | None
    apart: bool = False  # no other member will wait for it


@dataclass(frozen=True, slots=True)
class Late:
    """CPU seconds that an update found out late, and the moment (monotonic seconds) since which they were used."""

    cpu_s: float = 0.0
    since_s: float = 0.0

    def __add__(self, other: Late) -> Late:
        cpu_s = self.cpu_s + other.cpu_s
        if cpu_s <= 0.0:
            return self
        return Late(cpu_s, (self.cpu_s * self.since_s + other.cpu_s * other.since_s) / cpu_s)


class ProcessTree:
    """Follows process trees by their CPU clocks and ``/proc`` (psutil where there is no ``/proc``).

    ``cpu_s`` never decreases. A child that was waited for is in its parent's ``cutime``; one that was not
    (killed, orphaned, ``SIGCHLD`` ignored) keeps the CPU time last seen. ``take_late`` tells which part of a gain was
    used before it could be seen: by children found since, or by some that came and went.

    A process's own CPU time is one system call, its POSIX clock. ``cutime`` and the list of children cost many times
    that: they are read at updates a second apart, when a member has ended, and at every update for a second after
    ``cutime`` grew.

    ``mark`` is a text in the environment of what is watched, and so of everything it starts: processes that have left
    their parents are found by it.
    """

    def __init__(self, mark: str = "") -> None:
        self.cpu_s = 0.0
        self._late = Late()
        self._members: dict[int, _Member] = {}
        self._roots: set[int] = set()
        self._before_watch_s = 0.0
        self._gone_s = 0.0
        self._apart_gone_s = 0.0
        self._reaped_s = 0.0
        self._settled_at_s = time.monotonic()
        self._next_scan_s = 0.0
        self._reaping_until_s = 0.0
        self._scans = 0
        self._new = proc.NewProcesses(mark)

    @property
    def tick_s(self) -> float:
        """Resolution of the kernel's CPU accounting in seconds: of ended children, at worst of running threads."""
        return proc.TICK_S

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

    def running(self) -> list[int]:
        """Processes of the tree that are at work now."""
        return [pid for pid in sorted(self._members) if (reading := proc.times(pid)) is not None and reading.running]

    def watch(self, pid: int, *, again: bool = False) -> bool:
        """Follow ``pid`` and its children from now on; False where there is no such process.

        ``again`` says that another tree has followed it until now: what has left it does not bring its CPU time along.
        """
        self.update(rescan=True)
        self._roots.add(pid)
        if pid not in self._members:
            if not self._adopt(pid, before=True):
                return False
            self._adopt_children(before=True)
            if again:
                self._adopt_marked(before=True)
        return True

    def correct(self, pid: int, total_cpu_s: float) -> None:
        """Take over the exact CPU time of an ended root, children included, as its parent got it from wait4.

        Only valid for a process that was watched from its start: what is missing from the last update is added. What
        has left the tree was never waited for in it, and is not part of that figure.
        """
        if pid not in self._roots or pid in self._members or len(self._roots) > 1:
            return
        apart_s = self._apart_gone_s + sum(m.own_s + m.reaped_s for m in self._members.values() if m.apart)
        missing_s = max(0.0, total_cpu_s - (self.cpu_s - apart_s))
        self._gone_s += missing_s
        self.cpu_s += missing_s
        self._late += Late(missing_s, self._settled_at_s)

    def take_late(self) -> Late:
        """What of the gains since this was last asked for was used before it could be seen."""
        late, self._late = self._late, Late()
        return late

    def update(self, *, rescan: bool = False) -> float:
        """Read the tree again and return its CPU seconds since it was first watched.

        With ``rescan`` new children and what ended ones had used are looked for now, not within a second.
        """
        if not self._roots:
            return self.cpu_s
        now_s = time.monotonic()
        own_s = None
        if rescan or now_s >= self._next_scan_s:
            self._next_scan_s = now_s + _RESCAN_S
            self._adopt_children(before=False)
            self._adopt_marked()
        elif now_s >= self._reaping_until_s:
            own_s = self._read_clocks()
        if own_s is None:
            own_s = self._read_all(now_s)
        self.cpu_s = max(self.cpu_s, own_s + self._others_s)
        return self.cpu_s

    def resident_bytes(self) -> int:
        """The memory held by the tree: private pages of every member plus the largest shared part."""
        held = [proc.held_bytes(pid) for pid in self._members]
        return sum(private for private, _ in held) + max((shared for _, shared in held), default=0)

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
            readings = {pid: proc.times(pid) for pid in self._members}
            # Who is alive after every cutime was read is in none of them; who is not must be in the next ones.
            ended = [pid for pid, reading in readings.items() if not _refresh(self._members[pid], reading)]
            if not ended:
                break
            for member in map(self._members.pop, ended):
                ended_s += member.own_s + member.reaped_s
                self._apart_gone_s += (member.own_s + member.reaped_s) if member.apart else 0.0
        own_s = self._reaped_s = gain_s = 0.0
        gaining = 0
        for pid, member in self._members.items():
            reading = readings[pid]
            reaped_s = member.reaped_s if reading is None else reading.reaped_s
            gaining += reaped_s > member.reaped_s
            gain_s += reaped_s - member.reaped_s
            member.reaped_s = reaped_s
            own_s += member.own_s
            self._reaped_s += reaped_s
        if gain_s > 0:
            self._reaping_until_s = now_s + _RESCAN_S
        # cutime is cut to ticks, user and system time each: a waited-for child may seem to be short of up to two.
        cut_s = 2 * proc.TICK_S * max(gaining, 1) if self._members else 0.0
        if ended_s - gain_s > cut_s:
            self._gone_s += ended_s - gain_s
        self._late += Late(max(0.0, gain_s - ended_s), self._settled_at_s)
        self._settled_at_s = now_s
        return own_s

    def _adopt(self, pid: int, *, before: bool, apart: bool = False) -> bool:
        reading = proc.times(pid)
        if reading is None:
            return False
        member = _Member(reading.start_ticks, reading.own_s, reading.reaped_s, proc.cpu_clock(pid), apart)
        _refresh(member, reading)
        self._members[pid] = member
        self._reaped_s += member.reaped_s
        if before:
            self._before_watch_s += member.own_s + member.reaped_s
        else:
            self._late += Late(member.own_s + member.reaped_s, proc.started_s(reading.start_ticks))
        return True

    def _adopt_children(self, *, before: bool) -> None:
        # Children of the main thread every time, of the other threads (a trainer has dozens) every few times:
        # a late find loses nothing, because a process brings its CPU time along.
        every_thread = before or self._scans % _THREADS_EVERY == 0
        self._scans += 1
        self._adopt_below(list(self._members), every_thread=every_thread, before=before)

    def _adopt_below(self, pending: list[int], *, every_thread: bool, before: bool) -> None:
        own_pid = os.getpid()  # the sampler may be a child of what it watches; it is not part of the work
        while pending:
            for child in proc.children(pending.pop(), every_thread=every_thread):
                if child in self._members or child == own_pid:
                    continue
                if self._adopt(child, before=before):
                    pending.append(child)

    def _adopt_marked(self, *, before: bool = False) -> None:
        for pid in self._new.look():
            if pid in self._members or pid == os.getpid():
                continue
            if self._adopt(pid, before=before, apart=not self._has_ancestor_here(pid)):
                self._adopt_below([pid], every_thread=True, before=before)

    def _has_ancestor_here(self, pid: int) -> bool:
        for _ in range(_MOST_ANCESTORS):
            reading = proc.times(pid)
            if reading is None or reading.parent <= 1:
                return False
            if reading.parent in self._members:
                return not self._members[reading.parent].apart
            pid = reading.parent
        return False


def _refresh(member: _Member, reading: proc.Times | None) -> bool:
    """Take over a member's own CPU time; False where that process has ended."""
    if reading is None or reading.start_ticks != member.start_ticks:
        return False
    try:
        member.own_s = reading.own_s if member.clock is None else time.clock_gettime(member.clock)
    except OSError:
        member.own_s = max(member.own_s, reading.own_s)  # it has ended and not been waited for: its books are closed
        return False
    return True
