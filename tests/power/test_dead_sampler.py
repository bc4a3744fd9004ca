"""A sampler that dies while something is metered is started anew; what nobody read is modelled, and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenbench.metering.command import measure_command
from greenbench.power.journal.trace import read_journal
from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.options import Sampling
from tests.fake_nvml import FakeDriver, FakeGpu, Load

pytestmark = pytest.mark.slow
NS = 1_000_000_000


def kill(sampler: SamplerProcess, number: int = signal.SIGKILL) -> None:
    assert sampler.pid is not None
    os.kill(sampler.pid, number)
    if (
        number == signal.SIGKILL
    ):  # its first thread is gone before it can be waited for, which is when it counts as dead
        os.waitid(os.P_PID, sampler.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def card(driver: FakeDriver) -> FakeDriver:
    driver.program(FakeGpu(Load.constant(200)))
    return driver


def test_the_joules_of_a_window_with_a_dead_sampler_are_those_of_the_card(card: FakeDriver, tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        begin_ns = time.monotonic_ns()
        reader = LiveReader(sampler.live)
        begin_j = reader.read().energy_j
        time.sleep(2.0)
        kill(sampler)
        time.sleep(0.5)
        assert sampler.keep_alive()
        time.sleep(2.0)
        live, end_ns = reader.read(), time.monotonic_ns()
        sampler.edge()
        sampler.flush()
    window = read_journal(sampler.journal).window(begin_ns, end_ns)
    exact_j = 200 * (end_ns - begin_ns) / NS
    assert window.energy_j == pytest.approx(exact_j, rel=0.02)
    assert window.kind == "mixed"
    assert window.valid
    assert any("without a sampler" in problem for problem in window.problems)
    assert any("died (SIGKILL)" in warning for warning in sampler.warnings)
    # The live figure went on, and did not begin anew.
    assert begin_j is not None
    assert live.energy_j is not None
    assert live.working
    assert live.kind == "mixed"
    assert live.energy_j - begin_j == pytest.approx(200 * (live.t_mono_ns - begin_ns) / NS, rel=0.05)


def test_a_window_inside_the_hole_is_modelled_and_a_long_hole_is_not_valid(card: FakeDriver, tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        time.sleep(1.5)
        kill(sampler)
        begin_ns = time.monotonic_ns()
        time.sleep(0.3)
        end_ns = time.monotonic_ns()
        sampler.keep_alive()
        time.sleep(1.0)
        kill(sampler)
        time.sleep(11.0)
        sampler.keep_alive()
        time.sleep(1.0)
    trace = read_journal(sampler.journal)
    inside = trace.window(begin_ns, end_ns)
    assert inside.energy_j == pytest.approx(200 * (end_ns - begin_ns) / NS, rel=0.02)
    assert (inside.kind, inside.valid) == ("modelled", True)
    assert not trace.total().valid


def test_a_sampler_that_hangs_is_ended_and_started_anew(card: FakeDriver, tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        first = sampler.pid
        kill(sampler, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while sampler.pid == first and time.monotonic() < deadline:
            sampler.keep_alive()
            time.sleep(0.2)
        assert sampler.pid != first
        assert sampler.running
    assert any("silent" in warning for warning in sampler.warnings)


def test_a_sampler_that_dies_again_and_again_is_given_up_and_said(card: FakeDriver, tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        for _ in range(5):
            kill(sampler)
            assert sampler.keep_alive()
        kill(sampler)
        assert not sampler.keep_alive()
    assert any("is not started again" in warning for warning in sampler.warnings)


def test_cpu_time_used_before_the_sampler_died_is_not_counted_twice(tmp_path: Path) -> None:
    """A detached child, found again by its mark, brings its whole CPU time along; the root's end tells all of it."""
    busy = "import time\nt = time.process_time()\nwhile time.process_time() - t < 2.0: pass"
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu", tdp_w=100) as sampler:
        command = [
            "sh",
            "-c",
            f'setsid "{sys.executable}" -c "{busy}" & sleep 0.1; "{sys.executable}" -c "{busy}"; wait',
        ]
        process = subprocess.Popen(command, env=sampler.marked(os.environ))
        sampler.watch(process.pid)
        begin_ns = time.monotonic_ns()
        time.sleep(1.5)
        kill(sampler)
        sampler.keep_alive()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        cpu_s = usage.ru_utime + usage.ru_stime
        sampler.ended(process.pid, cpu_s)
        sampler.flush()
        end_ns = time.monotonic_ns()
    window = read_journal(sampler.journal).window(begin_ns, end_ns)
    threads = os.cpu_count() or 1
    duration_s = (end_ns - begin_ns) / NS
    most_j = 100 * (0.1 * duration_s + 0.9 * 1.35 * (cpu_s + 0.3) / threads)
    assert window.energy_j is not None
    assert window.energy_j <= most_j


def test_measure_goes_on_when_its_sampler_is_killed(card: FakeDriver, tmp_path: Path) -> None:
    """A budget of joules is kept to the end; the result is mixed, says so, and hits what was drawn."""
    murder = (
        "import os, psutil, time\n"
        "time.sleep(1.0)\n"
        "for p in psutil.Process(os.getppid()).children():\n"
        "    if 'greenbench.power.sampler.main' in p.cmdline(): p.kill()\n"
        "time.sleep(60)"
    )
    found = measure_command(
        [sys.executable, "-c", murder], budget=("joules", 1000.0), sampling=Sampling(sources="nvml"), grace_s=1.0
    )
    assert found["stopped_by_budget"]
    assert found["energy_source"] == "mixed"
    assert found["valid"]
    assert found["energy_j"] == pytest.approx(200 * found["duration_s"], rel=0.03)
    assert found["energy_j"] >= 950
    assert any("died" in warning for warning in found["warnings"])


DIES_AT_ITS_FIRST_STARTS = """
import os, pathlib, signal, sys
if "greenbench.power.sampler.main" in " ".join(sys.orig_argv):
    deaths = pathlib.Path(__file__).with_name("deaths")
    done = len(deaths.read_text()) if deaths.exists() else 0
    if done < {deaths}:
        deaths.write_text("x" * (done + 1))
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_sampler_killed_while_it_starts_is_started_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_ITS_FIRST_STARTS.format(deaths=deaths))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with SamplerProcess(tmp_path / "power.csv.gz", tmp_path / "live", sources="cpu,ram") as sampler:
        assert sampler.ready
        assert sampler.running
    assert (tmp_path / "deaths").read_text() == "x" * deaths
    assert any("while it started" in text for text in sampler.warnings)
    assert read_journal(tmp_path / "power.csv.gz").total().energy_j is not None


def test_a_sampler_that_is_killed_at_every_start_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_ITS_FIRST_STARTS.format(deaths=1000))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with SamplerProcess(tmp_path / "power.csv.gz", tmp_path / "live", sources="cpu,ram") as sampler:
        assert not sampler.ready
    assert any("did not become ready" in text for text in sampler.warnings)
