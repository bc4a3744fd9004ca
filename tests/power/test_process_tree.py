from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from greenbench.power.sources.process_tree import ProcessTree

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="compares with /proc")
BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\n"


def start(code: str, *arguments: Any) -> subprocess.Popen[str]:
    """Start Python code and wait for its first line."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def go_on(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def stat_cpu_s(pid: int) -> float:
    cells = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")


def follow(tree: ProcessTree, process: subprocess.Popen[str]) -> list[float]:
    seen = []
    while process.poll() is None:
        seen.append(tree.update(rescan=True))
        time.sleep(0.02)
    seen.append(tree.update())
    return seen


def test_children_and_grandchildren_count_and_the_sum_never_falls() -> None:
    inner = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY.format(0.3)!r}])\n"
    outer = (
        "import subprocess, sys, time\ntime.sleep(0.2)\n"
        f"subprocess.run([sys.executable, '-c', {inner!r}])\ntime.sleep(0.2)\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, "-c", outer])
    tree = ProcessTree()
    assert tree.watch(process.pid)
    seen = follow(tree, process)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seen == sorted(seen)
    assert 0.28 < seen[-1] < used_s + 0.1


def test_an_orphan_keeps_being_followed() -> None:
    late = "import time; time.sleep(0.4)\n" + BUSY.format(0.3)
    code = (
        "import os, subprocess, sys, time\ntime.sleep(0.2)\n"
        f"p = subprocess.Popen([sys.executable, '-c', {late!r}])\n"
        "print(p.pid, flush=True)\ntime.sleep(0.3)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    tree = ProcessTree()
    tree.watch(process.pid)
    orphan = int(process.stdout.readline())
    follow(tree, process)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while orphan in tree.pids and time.monotonic() < deadline:
        tree.update()
        if tree.update() > 0.28:
            break
        time.sleep(0.02)
    assert tree.update() > 0.25


def test_what_was_used_before_watching_is_not_counted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(0.3) + "print(1, flush=True)\ntime.sleep(5)"], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    tree = ProcessTree()
    tree.watch(process.pid)
    time.sleep(0.1)
    assert tree.update() < 0.1
    process.kill()
    process.communicate()


def test_a_process_that_is_not_there_is_refused() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert ProcessTree().watch(process.pid) is False


def test_memory_of_the_tree_grows_with_what_it_holds() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(200 * 2**20)\nprint(1, flush=True)\nimport time; time.sleep(10)"],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    tree = ProcessTree()
    tree.watch(process.pid)
    assert tree.resident_bytes() == pytest.approx(210 * 2**20, rel=0.15)
    process.kill()
    process.communicate()


@needs_proc
def test_own_cpu_time_of_many_threads_is_what_the_kernel_tells() -> None:
    code = (
        "import hashlib, threading, time\nprint(1, flush=True)\n"
        "def work():\n"
        "    for _ in range(40):\n        hashlib.sha256(bytes(200_000)).digest(); time.sleep(0.001)\n"
        "threads = [threading.Thread(target=work) for _ in range(31)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "print(2, flush=True)\ntime.sleep(60)\n"
    )
    process = start(code)
    tree = ProcessTree()
    tree.watch(process.pid)
    begin_s = stat_cpu_s(process.pid)
    tree.update(rescan=True)
    process.stdout.readline()
    # Two ticks at either end, user and system time each, and what the threads used between the two readings.
    assert tree.update() == pytest.approx(stat_cpu_s(process.pid) - begin_s, abs=6 * tree.tick_s)
    assert tree.cpu_s > 10 * tree.tick_s
    end(process)


def test_a_child_that_came_and_went_between_two_scans_is_counted_by_the_next_full_reading() -> None:
    code = (
        "import subprocess, sys, time\nprint(1, flush=True)\nsys.stdin.readline()\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1]])\nprint(2, flush=True)\ntime.sleep(60)\n"
    )
    process = start(code, BUSY.format(0.3))
    tree = ProcessTree()
    tree.watch(process.pid)
    tree.update(rescan=True)
    go_on(process)
    process.stdout.readline()
    assert tree.pids == {process.pid}
    assert tree.update(rescan=True) > 0.28
    end(process)


@needs_proc
def test_short_children_that_were_waited_for_are_counted_once() -> None:
    code = (
        "import os, sys, time\nprint(1, flush=True)\nsys.stdin.readline()\n"
        "for _ in range(60):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        while time.process_time() < 0.017: pass\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    process = start(code)
    tree = ProcessTree()
    tree.watch(process.pid)
    before_s = stat_cpu_s(process.pid)
    go_on(process)
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        tree.update(rescan=True)
        time.sleep(0.002)
    seen_s = tree.update(rescan=True)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    process.communicate()
    assert usage.ru_utime + usage.ru_stime > 1.0
    assert seen_s == pytest.approx(usage.ru_utime + usage.ru_stime - before_s, abs=6 * tree.tick_s)


def test_an_ended_process_keeps_its_time_before_and_after_it_was_waited_for() -> None:
    process = start("print(1, flush=True)\n" + BUSY.format(0.2))
    tree = ProcessTree()
    tree.watch(process.pid)
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.01)
    seen_s = tree.update()
    assert 0.15 < seen_s < 0.4
    assert tree.update(rescan=True) == seen_s
    assert tree.pids == {process.pid}
    process.communicate()
    assert tree.update() == seen_s
    assert tree.pids == set()


def test_a_child_that_nobody_waits_for_keeps_its_time() -> None:
    code = (
        "import os, signal, sys, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    while time.process_time() < 0.2: pass\n"
        "    print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    tree = ProcessTree()
    tree.watch(process.pid)
    child = int(process.stdout.readline())
    seen_s = tree.update(rescan=True)
    assert tree.pids == {process.pid, child}
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child in tree.pids and time.monotonic() < deadline:
        tree.update()
        time.sleep(0.01)
    assert tree.pids == {process.pid}
    assert tree.update(rescan=True) >= seen_s
    end(process)


@needs_proc
def test_the_clocks_alone_tell_what_a_full_reading_tells() -> None:
    busy = start("print(1, flush=True)\ninput()\n" + BUSY.format(0.3) + "print(2, flush=True)\ninput()\n")
    tree = ProcessTree()
    tree.watch(busy.pid)
    go_on(busy)
    busy.stdout.readline()
    quick_s = tree.update()
    full_s = tree.update(rescan=True)
    end(busy)
    assert quick_s == pytest.approx(full_s, abs=0.005)
    assert 0.3 <= full_s < 0.5


@needs_proc
def test_what_was_seen_of_a_killed_process_is_kept() -> None:
    process = start("print(1, flush=True)\n" + BUSY.format(60))
    tree = ProcessTree()
    tree.watch(process.pid)
    while (seen_s := tree.update()) < 0.1:
        time.sleep(0.01)
    end(process)
    assert tree.update() >= seen_s


@needs_proc
def test_children_waited_for_between_two_scans_are_counted_once() -> None:
    parent = start(
        f"import subprocess, sys\nprint(1, flush=True)\ninput()\n"
        f"subprocess.run([sys.executable, '-c', {BUSY.format(0.2)!r}])\nprint(2, flush=True)\ninput()\n"
    )
    tree = ProcessTree()
    tree.watch(parent.pid)
    go_on(parent)
    parent.stdout.readline()
    tree.update(rescan=True)
    time.sleep(1.1)
    tree.update()
    assert tree.update() == pytest.approx(tree.update(rescan=True), abs=0.02)
    assert tree.cpu_s >= 0.2
    end(parent)
