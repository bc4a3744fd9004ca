from __future__ import annotations

import subprocess
import sys
import time

import pytest

from greenbench.power.process_tree import ProcessTree

BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\n"


def follow(tree, process):
    seen = []
    while process.poll() is None:
        seen.append(tree.update(rescan=True))
        time.sleep(0.02)
    seen.append(tree.update())
    return seen


def test_children_and_grandchildren_count_and_the_sum_never_falls():
    inner = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY.format(0.3)!r}])\n"
    outer = (
        "import subprocess, sys, time\ntime.sleep(0.2)\n"
        f"subprocess.run([sys.executable, '-c', {inner!r}])\ntime.sleep(0.2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", outer])
    tree = ProcessTree()
    assert tree.watch(process.pid)
    seen = follow(tree, process)
    assert seen == sorted(seen)
    assert 0.28 < seen[-1] < 0.9


def test_an_orphan_keeps_being_followed():
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


def test_what_was_used_before_watching_is_not_counted():
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


def test_a_process_that_is_not_there_is_refused():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert ProcessTree().watch(process.pid) is False


def test_memory_of_the_tree_grows_with_what_it_holds():
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
