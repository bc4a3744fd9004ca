"""What metering costs: the sampler's own CPU time, and metered against unmetered steps beside an A/A run.

    python -m benchmarks.meter_overhead [--own-cost-s 300] [--pairs 60] [--steps 100] [--threads 1] [--sources auto]

The own cost is read from /proc: CPU seconds of the sampler per second while it watches a process with 31 threads.
The steps are blocks of matrix products, run in the order A B B A; in B blocks the sampler runs and the live cell is
read every step, in A blocks the sampler is suspended. The A/A run does the same without a sampler. A block must last
about a second: waking a suspended sampler costs it a flush, which weighs on shorter ones. By default the steps leave
one core free, as a trainer that feeds a GPU does; with ``--threads`` of all cores the sampler's own cost must show,
because nothing else can pay for it. Wall time on a shared machine differs between identical runs, so a ratio means
nothing without the A/A ratio next to it.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import SamplerProcess

PRODUCTS = 12
IDLE_TRAINER = """
import threading, time
for _ in range(30):
    threading.Thread(target=time.sleep, args=(100000,), daemon=True).start()
time.sleep(100000)
"""


def cpu_seconds(pid: int) -> float:
    """CPU time of a single-threaded process in seconds, with nanosecond resolution."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9


def own_cost(duration_s: float, sources: str, hz: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with SamplerProcess(path / "power.csv.gz", path / "live.bin", hz=hz, sources=sources) as sampler:
            trainer = subprocess.Popen([sys.executable, "-c", IDLE_TRAINER])
            try:
                sampler.watch(trainer.pid)
                assert sampler.pid is not None
                start_s, begin = cpu_seconds(sampler.pid), time.monotonic()
                time.sleep(duration_s)
                used_s, elapsed_s = cpu_seconds(sampler.pid) - start_s, time.monotonic() - begin
            finally:
                trainer.kill()
                trainer.wait()
        size = (path / "power.csv.gz").stat().st_size
    used = [d["device"] for s in sampler.ready["sources"] for d in s["devices"] if d["counted"]]
    print(
        f"own cost: {used_s:.3f} CPU s in {elapsed_s:.1f} s at {hz:g} Hz = {100 * used_s / elapsed_s:.3f} % of one core"
    )
    print(
        f"          start {start_s:.3f} CPU s; journal {size / elapsed_s * 3.6e-3:.1f} MB/h; devices {', '.join(used)}"
    )


def block(matrix: np.ndarray, steps: int, read: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        for _ in range(PRODUCTS):  # about as long as a short training step
            matrix @ matrix
        read()
    return (time.perf_counter() - begin) / steps


def ratios(pairs: int, steps: int, sampler: SamplerProcess | None, read: Callable[[], object]) -> list[float]:
    matrix = np.random.default_rng(0).standard_normal((384, 384)).astype(np.float32)
    block(matrix, steps, lambda: None)
    found = []
    for pair in range(pairs):
        times = {}
        for arm in "AB" if pair % 2 == 0 else "BA":
            metered = arm == "B" and sampler is not None
            if sampler is not None and sampler.pid is not None:
                os.kill(sampler.pid, signal.SIGCONT if metered else signal.SIGSTOP)
            times[arm] = block(matrix, steps, read if metered else lambda: None)
        found.append(times["B"] / times["A"])
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median with a 95 % bootstrap interval."""
    generator = np.random.default_rng(1)
    medians = np.median(generator.choice(values, size=(4000, len(values))), axis=1)
    return statistics.median(values), float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def show(name: str, values: list[float]) -> None:
    middle, low, high = interval(values)
    verdict = "holds 1.0" if low <= 1.0 <= high else "does not hold 1.0"
    print(
        f"{name:<22} median ratio {middle:.4f}, 95 % interval {low:.4f} to {high:.4f} ({verdict}), {len(values)} pairs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--own-cost-s", type=float, default=300.0)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) - 1))
    parser.add_argument("--sources", default="auto")
    parser.add_argument("--hz", type=float, default=20.0)
    options = parser.parse_args()
    if options.own_cost_s:
        own_cost(options.own_cost_s, options.sources, options.hz)
    if options.pairs:
        with threadpool_limits(options.threads):
            compare_steps(options.pairs, options.steps, options.sources, options.hz)


def compare_steps(pairs: int, steps: int, sources: str, hz: float) -> None:
    show("A/A (no sampler)", ratios(pairs, steps, None, lambda: None))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with SamplerProcess(path / "power.csv.gz", path / "live.bin", hz=hz, sources=sources) as sampler:
            sampler.watch(os.getpid())
            values = ratios(pairs, steps, sampler, LiveReader(sampler.live).read)
            if sampler.pid is not None:
                os.kill(sampler.pid, signal.SIGCONT)
    show("metered / unmetered", values)


if __name__ == "__main__":
    main()
