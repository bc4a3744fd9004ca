"""FLOPs of everything a block of code does: in threads it starts too, and with what could not be counted by name.

A dispatch mode of torch belongs to the thread that entered it. Threads that start inside the block enter one of their
own; threads and child processes that cannot be counted are noticed by the CPU time they take.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import psutil

from greenbench.cost.counter import OperationCounter, counting

NOTICED_CPU_S = 0.005
"""CPU time from which on a thread or process that was not counted counts as work."""

SAMPLER_MODULE = "greenbench.power.sampler"
"""The meter's own process, which does no work of the block."""

Clock = Callable[[], float]


@dataclass
class BlockFlops:
    """FLOPs of a block; ``unseen`` says in words what they do not hold. Both are complete after the block."""

    flops: float = 0.0
    unseen: list[str] = field(default_factory=list)


@contextmanager
def counting_block() -> Iterator[BlockFlops]:
    """Count all operators of the block, in this thread and in those started inside it."""
    found, threads, outsiders = BlockFlops(), _StartedThreads(), _Outsiders()
    with counting(virtual=False) as own, threads.counted():
        yield found
    counters = [own, *threads.counters]
    found.flops = sum(counter.flops for counter in counters)
    operators: Counter[str] = Counter()
    for counter in counters:
        operators.update(counter.unseen)
    found.unseen = [f"operator {name} ({calls} calls), which has no formula" for name, calls in operators.items()]
    found.unseen += outsiders.busy()


class _StartedThreads:
    """Counters of the threads that start while :meth:`counted` runs."""

    def __init__(self) -> None:
        self.counters: list[OperationCounter] = []

    @contextmanager
    def counted(self) -> Iterator[None]:
        before = threading.getprofile()
        threading.setprofile(self._enter)
        try:
            yield
        finally:
            threading.setprofile(before)
            for counter in self.counters:
                counter.counts = False

    def _enter(self, _frame: FrameType, _event: str, _argument: Any) -> None:
        """Run in a new thread before its first function; the counter stays there until the thread ends."""
        sys.setprofile(None)
        counter = OperationCounter()
        self.counters.append(counter)
        counter.__enter__()


class _Outsiders:
    """Threads that were there before, and child processes: what they do cannot be counted, but their CPU time read."""

    def __init__(self) -> None:
        me = threading.get_ident()
        others = [t for t in threading.enumerate() if t.ident is not None and t.ident != me]
        self._threads = {t: clock for t in others if (clock := _cpu_clock(t)) is not None}
        self._thread_s = {t: clock() for t, clock in self._threads.items()}
        self._children_s = _children_cpu_s()

    def busy(self) -> list[str]:
        """Say in words which of them have worked since."""
        words = []
        for thread, clock in self._threads.items():
            used_s = clock() - self._thread_s[thread] if thread.is_alive() else 0.0
            if used_s > NOTICED_CPU_S:
                words.append(f"thread {thread.name!r}, started earlier, used {used_s:.2f} s of CPU")
        children_s = _children_cpu_s() - self._children_s
        if children_s > NOTICED_CPU_S:
            words.append(f"child processes used {children_s:.2f} s of CPU")
        return words


def _cpu_clock(thread: threading.Thread) -> Clock | None:
    """Give the CPU clock of a thread, None where the system has none."""
    if not hasattr(time, "pthread_getcpuclockid") or thread.ident is None:
        return None
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(clock)


def _children_cpu_s() -> float:
    """Sum the CPU time of ended and running children of this process."""
    process = psutil.Process()
    ended = process.cpu_times()
    total = float(ended.children_user + ended.children_system)
    for child in process.children(recursive=True):
        try:
            if any(word.startswith(SAMPLER_MODULE) for word in child.cmdline()):
                continue
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += float(times.user + times.system)
    return total
