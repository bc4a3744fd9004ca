from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenbench.power.journal.file import read_segments
from greenbench.power.journal.trace import read_journal
from greenbench.power.sampler.live import LiveReader, LiveState, LiveWriter
from greenbench.power.sampler.process import SamplerProcess
from tests.fake_nvml import FakeDriver, FakeGpu, Load

NS = 1_000_000_000
BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {seconds}: pass"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_gone(pid: int, limit_s: float) -> bool:
    begin = time.monotonic()
    while alive(pid) and time.monotonic() - begin < limit_s:
        time.sleep(0.02)
    return not alive(pid)


TRAINER = """
import os, sys, time
from greenbench.power.sampler.process import SamplerProcess
sampler = SamplerProcess(sys.argv[1], sys.argv[2], sources="nvml")
sampler.start()
sampler.watch(os.getpid())
print(sampler.pid, flush=True)
while True:
    time.sleep(0.01)
    print(time.monotonic_ns(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed_after_s", [0.3, 1.7, 2.95])
def test_killing_the_parent_loses_at_most_a_second_and_ends_the_sampler_within_two(
    driver: FakeDriver, tmp_path: Path, killed_after_s: float
) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    journal = tmp_path / "power.csv.gz"
    command = [sys.executable, "-c", TRAINER, str(journal), str(tmp_path / "live.bin")]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()) + os.pathsep + os.environ.get("PYTHONPATH", "")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as trainer:
        sampler = int(trainer.stdout.readline())
        begin = int(trainer.stdout.readline())
        time.sleep(killed_after_s)
        trainer.kill()
        end = int(trainer.stdout.read().split("\n")[-2] or 0)
    assert wait_until_gone(sampler, 2.0)
    trace = read_journal(journal)
    assert trace.torn_members == 0
    last = trace.span_ns[1]
    assert end - last < 1 * NS
    result = trace.window(begin, min(end, last))
    exact = 200 * (min(end, last) - begin) / NS
    assert result.valid
    assert abs(result.energy_j - exact) <= result.uncertainty_j


@pytest.mark.slow
@pytest.mark.parametrize("sources", ["nvml", "cpu,ram"])
def test_killing_the_sampler_itself_loses_at_most_a_second(driver: FakeDriver, tmp_path: Path, sources: str) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    journal = tmp_path / "power.csv.gz"
    with SamplerProcess(journal, tmp_path / "live.bin", sources=sources) as sampler:
        time.sleep(1.9)
        os.kill(sampler.pid, signal.SIGKILL)
        killed = time.monotonic_ns()
        time.sleep(0.1)
        sampler.watch(os.getpid())
        assert sampler.flush() is False
    assert any("ended early" in w or "no longer" in w for w in sampler.warnings)
    assert killed - read_journal(journal).span_ns[1] < 1 * NS
    with SamplerProcess(journal, tmp_path / "live.bin", sources=sources) as sampler:
        time.sleep(0.3)
    assert len(read_segments(journal).segments) == 2


@pytest.mark.slow
def test_commands_reach_the_sampler_at_any_moment_beside_the_threads_of_a_driver(
    driver: FakeDriver, tmp_path: Path
) -> None:
    """A driver's thread does not block the signal that announces a command; it must never get it."""
    driver.program(FakeGpu(Load.constant(200), options={"counter_ms": 5}))
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml,cpu") as sampler:
        threads = len(list(Path(f"/proc/{sampler.pid}/task").iterdir()))
        for i in range(25):
            sampler.edge()
            time.sleep(0.017 * (i % 7))
            sampler.mark(f"moment {i}")
            sampler.edge()
            assert sampler.flush(), i
    assert threads > 1
    assert sampler.warnings == []
    (segment,) = read_segments(tmp_path / "p.csv.gz").segments
    assert [c["mark"] for c in segment.comments if "mark" in c] == [f"moment {i}" for i in range(25)]


@pytest.mark.slow
def test_an_edge_is_read_at_once(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    edges = []
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml,cpu") as sampler:
        for i in range(12):
            time.sleep(0.3 + 0.037 * i)
            edges.append(time.monotonic_ns())
            sampler.edge()
    (segment,) = read_segments(tmp_path / "p.csv.gz").segments
    times = [s.t_mono_ns for s in segment.samples if s.device == "gpu0"]
    late_ms = sorted(min(t - edge for t in times if t >= edge) / 1e6 for edge in edges)
    assert late_ms[len(late_ms) // 2] < 5


def test_the_sampler_survives_what_it_watches(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml,cpu") as sampler:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        sampler.watch(child.pid)
        time.sleep(0.2)
        child.kill()
        child.wait()
        time.sleep(0.3)
        assert sampler.running
        assert sampler.flush()
    assert sampler.warnings == []


def test_sigterm_finishes_the_journal(tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu") as sampler:
        time.sleep(0.3)
        os.kill(sampler.pid, signal.SIGTERM)
        assert wait_until_gone(sampler.pid, 60.0)
    contents = read_segments(tmp_path / "p.csv.gz")
    assert "end" in contents.segments[0].comments[-1]
    assert contents.torn_members == 0


def test_without_any_source_energy_is_absent_and_the_reason_is_given(tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml,rapl") as sampler:
        reading = LiveReader(sampler.live).read()
    assert (reading.energy_j, reading.power_w, reading.kind) == (None, None, None)
    assert any("energy is not recorded" in w and "powercap" in w for w in sampler.warnings)


def test_an_unknown_source_is_trouble_not_a_crash(tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvlm") as sampler:
        assert sampler.ready == {}
    assert any("did you mean 'nvml'" in w for w in sampler.warnings)


def test_an_unwritable_journal_is_trouble_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with SamplerProcess(tmp_path / "file" / "p.csv.gz", tmp_path / "live.bin", sources="cpu") as sampler:
        pass
    assert sampler.warnings


@pytest.mark.slow
def test_live_energy_rises_and_ends_near_the_journal(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(300)))
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml") as sampler:
        reader = LiveReader(sampler.live)
        begin = time.monotonic()
        first = reader.read().energy_j
        seen = []
        while time.monotonic() - begin < 1.5:
            seen.append(reader.read())
            time.sleep(0.003)
    assert all(a.energy_j <= b.energy_j for a, b in itertools.pairwise(seen))
    assert seen[-1].kind == "measured"
    assert seen[-1].power_w == pytest.approx(300)
    elapsed = (seen[-1].t_mono_ns - seen[0].t_mono_ns) / NS
    assert seen[-1].energy_j - first == pytest.approx(300 * elapsed, abs=300 * 0.25)


@pytest.mark.slow
def test_a_reader_falling_into_a_write_never_sees_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "live.bin"
    writer = LiveWriter(path)
    writer.write(time.monotonic_ns(), LiveState(0.0, 0.0, "measured"))
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom greenbench.power.sampler.live import LiveState, LiveWriter\n"
        "w = LiveWriter(Path(sys.argv[1]))\nt = time.monotonic()\ni = 0\n"
        "while time.monotonic() - t < 1.5:\n    i += 1\n"
        "    w.write(time.monotonic_ns(), LiveState(float(i), 0.0, 'measured', float(i), float(i)))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    reader = LiveReader(path)
    readings = []
    while child.poll() is None:
        readings.append(reader.read())
    values = [r.energy_j for r in readings]
    assert values == sorted(values)
    assert values[-1] > 1000
    assert all(v == int(v) for v in values)
    assert all(r.energy_low_j is None or r.energy_low_j == pytest.approx(r.energy_high_j) for r in readings)


def test_a_dead_sampler_makes_the_reading_stale(tmp_path: Path) -> None:
    writer = LiveWriter(tmp_path / "live.bin")
    written_ns = time.monotonic_ns() - 10 * NS
    writer.write(written_ns, LiveState(100.0, 5.0, "modelled", working=True))
    reading = LiveReader(tmp_path / "live.bin").read()
    assert reading.stale
    assert not reading.working
    assert 100 + 5 * 10 <= reading.energy_j <= 100 + 5 * (time.monotonic_ns() - written_ns) / NS


@pytest.mark.slow
def test_sampling_times_do_not_keep_a_rhythm(driver: FakeDriver, tmp_path: Path) -> None:
    driver.program(FakeGpu(Load.constant(100)))
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="nvml"):
        time.sleep(3.0)
    samples = read_segments(tmp_path / "p.csv.gz").segments[0].samples
    times = [s.t_mono_ns for s in samples][40:]
    phases = [(t % (NS // 20)) / (NS // 20) for t in times]
    counts = [sum(k / 4 <= p < (k + 1) / 4 for p in phases) for k in range(4)]
    assert min(counts) > 0.08 * len(phases)


@pytest.mark.slow
def test_cpu_time_of_exited_children_is_kept(tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu", tdp_w=100.0 * os.cpu_count()) as s:
        shell = f"{sys.executable} -c '{BUSY.format(seconds=0.4)}'; {sys.executable} -c '{BUSY.format(seconds=0.4)}'"
        begin = time.monotonic_ns()
        process = subprocess.Popen(["sh", "-c", shell])
        s.watch(process.pid)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        s.ended(process.pid, usage.ru_utime + usage.ru_stime)
        s.flush()
        end = time.monotonic_ns()
    window = read_journal(tmp_path / "p.csv.gz").window(begin, end)
    idle_j = 0.1 * 100 * os.cpu_count() * (end - begin) / NS
    busy_j = 0.9 * 100 * (usage.ru_utime + usage.ru_stime)
    assert usage.ru_utime + usage.ru_stime > 0.75
    assert window.energy_j == pytest.approx(idle_j + busy_j, rel=0.05)
    assert window.energy_low_j < window.energy_j < window.energy_high_j
    assert window.kind == "modelled"


@pytest.mark.slow
def test_an_edge_counts_children_that_came_and_went_before_it(tmp_path: Path) -> None:
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu", tdp_w=100.0, hz=0.2) as s:
        code = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {BUSY.format(seconds=0.4)!r}])"
        process = subprocess.Popen(
            [sys.executable, "-c", code + "\nprint(1, flush=True)\ntime.sleep(60)"], stdout=subprocess.PIPE
        )
        s.watch(process.pid)
        process.stdout.readline()
        s.edge()
        edge = time.monotonic_ns()
        time.sleep(0.3)
        process.kill()
        process.communicate()
    samples = [x for x in read_segments(tmp_path / "p.csv.gz").segments[0].samples if x.t_mono_ns < edge + NS // 10]
    per_thread_w = 100 / os.cpu_count()
    assert samples[-1].energy_low_j > 0.5 * per_thread_w * 0.38  # the low end has no idle share


@pytest.mark.slow
def test_modelled_readings_keep_their_pace_and_follow_the_load(tmp_path: Path) -> None:
    code = "import time\nprint(1, flush=True)\ntime.sleep(1.5)\n" + BUSY.format(seconds=60)
    threads = os.cpu_count()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu,ram", tdp_w=100.0 * threads) as s:
        process.stdout.readline()
        s.watch(process.pid)
        reader, seen = LiveReader(s.live), []
        begin = time.monotonic_ns()
        while time.monotonic_ns() - begin < 4 * NS:
            seen.append(reader.read())
            time.sleep(0.01)
        process.kill()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        process.stdout.close()
        s.flush()
        last = reader.read()
    segment = read_segments(tmp_path / "p.csv.gz").segments[0]
    inside = [x for x in segment.samples if begin <= x.t_mono_ns <= seen[-1].t_mono_ns]
    cpu = [x.t_mono_ns for x in inside if x.device == "cpu"]
    assert 18 * 4 <= len(cpu) <= 24 * 4
    assert max(b - a for a, b in itertools.pairwise(cpu)) < 0.25 * NS
    assert 3 <= sum(x.device == "ram" for x in inside) <= 8
    idle_w, busy_w = 10.0 * threads, 90.0
    assert min(x.power_w for x in seen) == pytest.approx(idle_w, abs=5)
    # Of the last 2.5 s it got what its neighbours left it; the highest reading is no less than the mean.
    mean_busy = (usage.ru_utime + usage.ru_stime) / 2.5
    assert idle_w + 0.7 * mean_busy * busy_w < max(x.power_w for x in seen) < idle_w + 1.1 * busy_w
    assert all(a.energy_j <= b.energy_j for a, b in itertools.pairwise(seen))
    assert all(x.energy_low_j <= x.energy_j <= x.energy_high_j for x in seen[20:])  # the range grows from nothing
    assert max(x.age_s for x in seen) < 0.6
    cpu_only = [x for x in segment.samples if x.device == "cpu"]
    used_j = busy_w * (usage.ru_utime + usage.ru_stime)
    assert cpu_only[-1].energy_j - idle_w * (cpu_only[-1].t_mono_ns - cpu_only[0].t_mono_ns) / NS == pytest.approx(
        used_j, rel=0.05, abs=5.0
    )
    window = read_journal(tmp_path / "p.csv.gz").window(begin, last.t_mono_ns)
    assert last.energy_j - seen[0].energy_j == pytest.approx(window.energy_j, abs=0.25 * busy_w)


@pytest.mark.slow
def test_a_command_does_not_wait_for_the_next_flush(tmp_path: Path) -> None:
    waits_s = []
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu") as sampler:
        sampler.watch(os.getpid())
        for _ in range(5):
            time.sleep(0.13)
            begin = time.monotonic()
            assert sampler.flush()
            waits_s.append(time.monotonic() - begin)
    assert sorted(waits_s)[2] < 0.1


@pytest.mark.slow
def test_a_child_found_late_adds_its_energy_but_no_impossible_power(tmp_path: Path) -> None:
    threads = os.cpu_count()
    child = f"subprocess.run([sys.executable, '-c', {BUSY.format(seconds=1.2)!r}])"
    code = f"import subprocess, sys, time\nprint(1, flush=True)\ntime.sleep(0.2)\n{child}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with SamplerProcess(tmp_path / "p.csv.gz", tmp_path / "live.bin", sources="cpu", tdp_w=100.0 * threads) as s:
        process.stdout.readline()
        s.watch(process.pid)
        reader, powers_w = LiveReader(s.live), []
        while process.poll() is None:
            powers_w.append(reader.read().power_w)
            time.sleep(0.01)
        process.stdout.close()
        s.flush()
    samples = read_segments(tmp_path / "p.csv.gz").segments[0].samples
    assert max(powers_w) <= 100 * threads
    assert max(x.power_w for x in samples) <= 100 * threads
    used_j = (
        samples[-1].energy_j - samples[0].energy_j - 10 * threads * (samples[-1].t_mono_ns - samples[0].t_mono_ns) / NS
    )
    assert used_j == pytest.approx(90 * 1.25, rel=0.1)
