"""Children found late give their joules to the time in which they worked; those that leave the tree are found again."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.metering.command import measure_command
from greenbench.power.journal.file import JournalContents, Segment
from greenbench.power.journal.trace import Trace
from greenbench.power.samples import COLUMNS, DeviceInfo, Sample, from_row, to_row
from greenbench.power.sources.models import CpuModelSource
from greenbench.power.sources.options import Sampling
from greenbench.power.sources.process_tree import ProcessTree
from greenbench.power.sources.tdp import CpuPower

NS = 1_000_000_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\n"
MARK = "a-mark-of-this-test"
PER_THREAD_W = 100.0


def model(tree: ProcessTree, threads: int = 2) -> CpuModelSource:
    return CpuModelSource(CpuPower("a CPU", threads, PER_THREAD_W, 50.0, 150.0, "a test"), tree)


def trace(info: DeviceInfo, rows: list[Sample]) -> Trace:
    return Trace(JournalContents([Segment(boot_id="boot", samples=rows, devices={info.device: info})]))


def start(code: str, *, marked: bool = False, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, **({"GREENBENCH_METERED": f"another:{MARK}"} if marked else {})}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **options)


# -- recorded


def late_rows(found_s: float, since_s: float, late_j: float, *, watts: float = 10.0) -> tuple[DeviceInfo, list[Sample]]:
    """A model at constant power that finds out at one reading what was used before."""
    info = DeviceInfo("cpu", "cpu", "modelled", "cpu", has_counter=True, power_from="model")
    rows = []
    for t in np.arange(0.0, 10.01, 0.05):
        more_j = late_j if t >= found_s - 1e-9 else 0.0
        row = Sample(round(t * NS), 1000, "cpu", "cpu", "modelled", watts, watts * t + more_j)
        row.energy_low_j, row.energy_high_j = 0.5 * (row.energy_j or 0.0), 2 * (row.energy_j or 0.0)
        if abs(t - found_s) < 1e-6:
            row.late_share, row.late_since_ns = late_j / (late_j + watts * 0.05), round(since_s * NS)
        rows.append(row)
    return info, rows


@given(st.sampled_from([2.0, 5.0, 9.5]), st.floats(0.0, 1.9), st.floats(0.1, 100.0))
def test_what_was_found_out_late_belongs_to_the_time_since_it_began(
    found_s: float, age_s: float, late_j: float
) -> None:
    since_s = found_s - age_s
    recorded = trace(*late_rows(found_s, since_s, late_j))

    def joules(begin_s: float, end_s: float) -> float:
        energy_j = recorded.window(round(begin_s * NS), round(end_s * NS)).energy_j
        assert energy_j is not None
        return energy_j

    assert joules(0, 10) == pytest.approx(100 + late_j)
    edges = [0.0, max(0.0, since_s), (since_s + found_s) / 2, found_s, 10.0]
    parts = [joules(a, b) - 10 * (b - a) for a, b in itertools.pairwise(edges)]
    assert parts == pytest.approx([0, late_j / 2, late_j / 2, 0], abs=0.06 * late_j / max(age_s, 0.05) + 1e-6)
    _, power_w = recorded.series(max_points=200)
    assert max(power_w) <= 10 + 1.1 * late_j / max(age_s, 0.05)


def test_the_journal_keeps_what_was_found_out_late() -> None:
    _, rows = late_rows(5.0, 4.0, 20.0)
    (row,) = [r for r in rows if r.late_share]
    again = from_row(list(COLUMNS), to_row(row).split(","))
    assert (again.late_share, again.late_since_ns) == (pytest.approx(row.late_share), 4 * NS)


# -- real processes


@linux
def test_a_child_found_late_is_never_drawn_above_what_the_processor_can_draw() -> None:
    """The kernel's clock of the tree knows nothing of a child until it is looked for."""
    threads = 2
    child = BUSY.format(0.5)
    parent = start(
        f"import subprocess, sys\nprint(1, flush=True)\ninput()\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
        "print(2, flush=True)\ninput()\n",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdout.readline()
    tree = ProcessTree()
    source = model(tree, threads)
    tree.watch(parent.pid)
    rows = [*source.read()]
    parent.stdin.write("\n")
    parent.stdin.flush()
    parent.stdout.readline()  # the child came and went between two looks
    rows += source.read()
    tree.update(rescan=True)
    rows += source.read()
    time.sleep(0.1)
    rows += source.read()
    parent.kill()
    parent.communicate()
    drawn = trace(source.devices[0], rows)
    _, power_w = drawn.series(max_points=400)
    assert max(power_w) <= PER_THREAD_W * threads * 1.05
    assert max(row.power_w or 0.0 for row in rows) <= PER_THREAD_W * threads
    total_j = (rows[-1].energy_j or 0.0) - 10.0 * threads * (rows[-1].t_mono_ns - rows[0].t_mono_ns) / NS
    assert total_j >= 0.9 * PER_THREAD_W * 0.5
    assert sum(row.late_share is not None for row in rows) >= 1


DETACH = {
    "a daemon of two forks": (
        "import os, sys\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.execv(sys.executable, [sys.executable, '-c', {work!r}])\n    os._exit(0)\nos.wait()\n"
    ),
    "a background job of a shell in a session of its own": (
        "import subprocess, sys\nsubprocess.run(['setsid', 'sh', '-c', sys.executable + ' -c \"$WORK\" &'],"
        " env={{**__import__('os').environ, 'WORK': {work!r}}})\n"
    ),
    "a child started by a thread": (
        "import subprocess, sys, threading\n"
        "t = threading.Thread(target=subprocess.Popen, args=([sys.executable, '-c', {work!r}],))\n"
        "t.start()\nt.join()\n"
    ),
    "a program that takes another's place": (
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', {work!r}])\n"
    ),
}


@pytest.fixture(params=DETACH, ids=str)
def detached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process whose 0.4 CPU seconds of work are done by something that has left it, and the file that says so."""
    done = tmp_path / "done"
    work = BUSY.format(0.4) + f"open({str(done)!r}, 'w').close()\ntime.sleep(0.5)\n"
    code = "print(1, flush=True)\ninput()\n" + DETACH[request.param].format(work=work) + "input()\n"
    process = start(code, marked=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process, done
    process.kill()
    process.communicate()


@linux
def test_what_leaves_the_tree_is_found_by_its_environment(detached: tuple[subprocess.Popen[str], Path]) -> None:
    process, done = detached
    tree = ProcessTree(MARK)
    assert tree.watch(process.pid)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not done.exists() and time.monotonic() < deadline:
        tree.update(rescan=True)
        time.sleep(0.02)
    assert tree.update(rescan=True) >= 0.38


@linux
def test_a_process_without_the_mark_is_nobodys() -> None:
    root = start("input()", marked=True, stdin=subprocess.PIPE)
    tree = ProcessTree(MARK)
    tree.watch(root.pid)
    stranger = start("print(1, flush=True)\ninput()", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stranger.stdout is not None
    stranger.stdout.readline()
    for _ in range(3):
        tree.update(rescan=True)
    assert tree.pids == {root.pid}
    for process in (root, stranger):
        process.kill()
        process.communicate()


@linux
def test_the_exact_time_of_an_ended_root_is_not_mixed_with_what_left_it(tmp_path: Path) -> None:
    """wait4 knows nothing of a daemon: the root's own short life must not vanish behind the daemon's CPU time."""
    done = tmp_path / "done"
    work = BUSY.format(0.5) + f"open({str(done)!r}, 'w').close()\ntime.sleep(60)\n"
    code = "print(1, flush=True)\ninput()\n" + DETACH["a daemon of two forks"].format(work=work)
    root = start(code, marked=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert root.stdin is not None
    assert root.stdout is not None
    root.stdout.readline()
    tree = ProcessTree(MARK)
    tree.watch(root.pid)
    root.stdin.write("\n")
    root.stdin.close()
    os.waitid(os.P_PID, root.pid, os.WEXITED | os.WNOWAIT)
    deadline = time.monotonic() + 60
    while not done.exists() and time.monotonic() < deadline:
        tree.update(rescan=True)
        time.sleep(0.02)
    _, _, usage = os.wait4(root.pid, 0)
    root.returncode = 0
    root.stdout.close()
    tree.update(rescan=True)
    daemon = tree.running()
    assert len(daemon) == 1
    in_tree_s = usage.ru_utime + usage.ru_stime + 0.2  # 0.2 s of children that nobody saw
    tree.correct(root.pid, in_tree_s)
    apart = psutil.Process(daemon[0]).cpu_times()
    assert tree.cpu_s == pytest.approx(in_tree_s + apart.user + apart.system, abs=0.05)
    os.kill(daemon[0], 9)


@linux
@pytest.mark.slow
def test_measure_counts_a_background_job_and_names_what_it_leaves_behind() -> None:
    busy = f"{sys.executable} -c '{BUSY.format(0.5)}{{}}'"
    sampling = Sampling(sources="cpu", tdp_w=100.0 * (os.cpu_count() or 1))
    command = f"setsid sh -c '{busy.format('').replace(chr(39), chr(34))} &'; sleep 3"
    found = measure_command(["sh", "-c", command], sampling=sampling)
    idle_j = 10.0 * (os.cpu_count() or 1) * found["duration_s"]
    assert found["energy_j"] - idle_j == pytest.approx(90 * 0.5, rel=0.2)
    stays = f'{sys.executable} -c "import time; time.sleep(20)"'
    left = measure_command(["sh", "-c", f"setsid sh -c '{stays} &'; sleep 1.5"], sampling=sampling)
    assert any("went on when it had ended" in text for text in left["warnings"])
