"""Accuracy of greenbench and its peers against programmed power traces with known energy.

    python -m benchmarks.meter_accuracy [--peer-python PATH]

Every tool runs in a process of its own against the same fake NVIDIA driver (tests/fake_nvml, built with the C
compiler), which plays one trace per card. A tool measures windows at moments of its own; the truth is the exact
energy of that tool's own window. PATH is a Python that has zeus and CodeCarbon (never dependencies of the meter);
a peer that is not installed there is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

RAMP_S = 120.0
MODES: dict[str, dict[str, object]] = {
    "with counter (100 ms updates)": {"period_ms": 100},
    "without counter": {"counter": 0},
    # As on an H100 with driver 580. A reading of all eight cards takes 40 ms.
    "costly counter (5 ms of CPU time a reading)": {"period_ms": 100, "counter_ms": 5},
}


def loads() -> dict[str, Any]:
    from tests.fake_nvml import Load

    bursts = [(0.0, 80.0)]
    for k in range(100):  # idle edges: three seconds of idle, two of work, with steep but finite flanks
        bursts += [(5 * k + 3.0, 80.0), (5 * k + 3.01, 600.0), (5 * k + 5.0, 600.0), (5 * k + 5.01, 80.0)]
    return {
        "constant 200 W": Load.constant(200),
        "square 0.5 Hz, 20 % duty": Load.square(0.5, 100, 600, 0.2),
        "square 1.3 Hz": Load.square(1.3, 100, 300),
        "square 2 Hz": Load.square(2.0, 100, 300),
        "square 7.7 Hz": Load.square(7.7, 100, 300),
        "square 10 Hz": Load.square(10.0, 100, 300),
        "ramp 100 to 600 W": Load.points((0, 100), (RAMP_S, 600)),
        "idle edges 80/600 W": Load.points(*bursts),
    }


def _windows(lengths: list[float]) -> list[float]:
    return [length for length in lengths for _ in range(4 if length < 2 else 3 if length < 10 else 1)]


def work_greenbench(lengths: list[float], count: int) -> None:
    from greenbench.metering.meter import Meter

    with Meter(sources="nvml") as meter:
        time.sleep(0.5)
        for i, length in enumerate(_windows(lengths)):
            with meter.phase(f"{length}:{i}"):
                time.sleep(length)
            time.sleep(0.137)
    for phase in meter.phases:
        assert phase.energy is not None
        for device in phase.energy.devices:
            index = int(device.name.removeprefix("gpu"))
            _report(
                index,
                phase.begin_ns,
                phase.end_ns or 0,
                device.energy_j,
                phase.name,
                device.uncertainty_j,
                device.edge_j,
            )
    _ = count


def work_zeus(lengths: list[float], count: int) -> None:
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=list(range(count)), cpu_indices=[], approx_instant_energy=False)
    for i, length in enumerate(_windows(lengths)):
        monitor.begin_window("w", sync_execution=False)
        begin = time.monotonic_ns()
        time.sleep(length)
        end = time.monotonic_ns()
        result = monitor.end_window("w", sync_execution=False)
        for index, joules in result.gpu_energy.items():
            _report(index, begin, end, joules, f"{length}:{i}")
        time.sleep(0.137)


def work_codecarbon(lengths: list[float], count: int) -> None:
    from codecarbon import OfflineEmissionsTracker

    def tracker(index: int) -> Any:
        return OfflineEmissionsTracker(
            country_iso_code="FRA",
            measure_power_secs=1,
            gpu_ids=[index],
            save_to_file=False,
            log_level="critical",
            allow_multiple_runs=True,
            force_cpu_power=10,
            force_ram_power=1,
        )

    warm = tracker(0)
    warm.start()
    warm.stop()
    for i, length in enumerate(_windows(lengths)):
        trackers = [tracker(index) for index in range(count)]
        begins, ends = [], []
        for one in trackers:
            one.start()
            begins.append(time.monotonic_ns())
        time.sleep(length)
        for one in trackers:
            ends.append(time.monotonic_ns())
            one.stop()
        for index, one in enumerate(trackers):
            _report(index, begins[index], ends[index], one.final_emissions_data.gpu_energy * 3.6e6, f"{length}:{i}")


def _report(
    index: int,
    begin: int,
    end: int,
    joules: float | None,
    window: str,
    uncertainty: float | None = None,
    edge: float | None = None,
) -> None:
    row = {"gpu": index, "begin": begin, "end": end, "joules": joules, "window": window}
    print(json.dumps({**row, "uncertainty": uncertainty, "edge": edge}), flush=True)


WORKERS = {"greenbench": work_greenbench, "zeus": work_zeus, "codecarbon": work_codecarbon}


def _start(
    tool: str, python: str, lengths: list[float], count: int, environment: dict[str, str]
) -> subprocess.Popen[str]:
    command = [python, __file__, "--worker", tool, "--count", str(count), "--lengths", *map(str, lengths)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, **environment, "PYTHONPATH": path if tool == "greenbench" else ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def run(mode: str, lengths: list[float], peer_python: str) -> dict[tuple[str, str, float], list[dict[str, float]]]:
    from tests.fake_nvml import FakeDriver, FakeGpu, build

    options = MODES[mode]
    names = loads()
    errors: dict[tuple[str, str, float], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        driver = FakeDriver(build(Path(folder)), Path(folder))
        smi = Path(folder) / "nvidia-smi"  # CodeCarbon looks for a card by running this
        smi.write_text("#!/bin/sh\nexit 0\n")
        smi.chmod(0o755)
        driver.program(*(FakeGpu(load, options=options) for load in names.values()))
        environment = {**driver.environment, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}
        pythons = {"greenbench": sys.executable, "zeus": peer_python, "codecarbon": peer_python}
        processes = {tool: _start(tool, pythons[tool], lengths, len(names), environment) for tool in WORKERS}
        for tool, process in processes.items():
            output, trouble = process.communicate()
            if process.returncode:
                print(f"{tool} skipped: {trouble.strip().splitlines()[-1] if trouble.strip() else 'failed'}")
            for line in filter(lambda text: text.startswith('{"gpu"'), output.splitlines()):
                row = json.loads(line)
                name = list(names)[row["gpu"]]
                truth = names[name].energy_j(driver.seconds(row["begin"]), driver.seconds(row["end"]))
                joules = row["joules"] or 0.0
                found = {"error": 100 * (joules / truth - 1), "covered": 1.0, "edge": 1.0}
                if row["uncertainty"] is not None:
                    found["covered"] = float(abs(joules - truth) <= row["uncertainty"])
                    found["edge"] = float(
                        abs(joules - truth) <= row["edge"] + 1e-4 * truth
                    )  # sensor steps of 1 mW, 1 mJ
                errors[tool, name, float(row["window"].split(":")[0])].append(found)
    return errors


def table(mode: str, lengths: list[float], errors: dict[tuple[str, str, float], list[dict[str, float]]]) -> None:
    tools = [tool for tool in WORKERS if any(key[0] == tool for key in errors)]
    print(f"\n{mode}: |error| in %, median / max")
    print(
        f"{'trace':<26}{'window':>8}"
        + "".join(f"{tool:>18}" for tool in tools)
        + "   within own uncertainty (edge term alone)"
    )
    worst = 0.0
    behind = 0.0
    for name in loads():
        for length in lengths:
            cells, medians = [], {}
            for tool in tools:
                values = [abs(e["error"]) for e in errors[tool, name, length]]
                medians[tool] = statistics.median(values) if values else float("nan")
                cells.append(f"{medians[tool]:8.2f} /{max(values, default=float('nan')):7.2f}")
            own = errors["greenbench", name, length]
            covered = f"{sum(e['covered'] for e in own):.0f}/{len(own)} ({sum(e['edge'] for e in own):.0f}/{len(own)})"
            print(f"{name:<26}{length:>6.3g} s" + "".join(f"{cell:>18}" for cell in cells) + f"   {covered}")
            if length >= 5:
                worst = max(worst, *(abs(e["error"]) for e in own))
            behind = max(
                behind, *(medians["greenbench"] - value for tool, value in medians.items() if tool != "greenbench"), 0.0
            )
    print(
        f"greenbench: largest error of any window of 5 s or more {worst:.2f} %; "
        f"largest median deficit to a peer {behind:.2f} points"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", choices=WORKERS)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--lengths", type=float, nargs="+", default=[1.037, 5.043, 20.071, 60.013])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--mode", default="", help="how one of the modes begins: with, without, costly; default: all")
    options = parser.parse_args()
    if options.worker:
        WORKERS[options.worker](options.lengths, options.count)
        return
    for mode in (m for m in MODES if m.startswith(options.mode)):
        table(mode, options.lengths, run(mode, options.lengths, options.peer_python))


if __name__ == "__main__":
    main()
