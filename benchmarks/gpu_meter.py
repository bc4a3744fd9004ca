"""What a real card's sensors are like: run this once on every new kind of GPU and keep the output.

    python -m benchmarks.gpu_meter --out reports/meter/<card> [--seconds 30]

Writes doctor.json, idle.json and load.json (counter over integrated power at idle, with an empty CUDA context, and
at half and full load), square.json (a 0.1 s square wave, which a part-time sensor sees wrongly), the raw journals
beside them, and overhead.txt. Needs torch with CUDA for the loads; without it the loads are skipped and that is said.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from greenbench.metering.command_result import measured_device
from greenbench.metering.doctor import inspect
from greenbench.metering.idle import idle_powers, record_baseline
from greenbench.metering.meter import Meter
from greenbench.power.journal.trace import read_journal
from greenbench.power.sampler.process import SamplerProcess

ROOT = Path(__file__).resolve().parents[1]

# Keeps the card busy for a share of every period; the products are timed on the card itself.
LOAD = """
import sys, time, torch
device, (seconds, period, duty) = sys.argv[1], map(float, sys.argv[2:])
on_card = device.startswith("cuda")
size, dtype = (8192, torch.bfloat16) if on_card else (512, torch.float32)
wait = torch.cuda.synchronize if on_card else lambda: None
x = torch.randn(size, size, device=device, dtype=dtype)
wait()
print("ready", flush=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    begin = time.monotonic()
    while time.monotonic() - begin < period * duty:
        x @ x
        wait()
    time.sleep(max(0.0, period * (1 - duty) - 1e-4)) if duty < 1 else None
"""


def window_json(energy: Any) -> dict[str, Any]:
    keys = ("energy_j", "uncertainty_j", "edge_j", "mean_power_w", "duration_s", "valid", "kind", "source")
    return {
        **{key: getattr(energy, key) for key in keys},
        "problems": list(energy.problems),
        "devices": [asdict(measured_device(device)) for device in energy.devices],
    }


def idle(out: Path, seconds: float) -> dict[str, Any]:
    journal = out / "idle.csv.gz"
    with SamplerProcess(journal, out / "live.bin", sources="nvml") as sampler:
        baseline = record_baseline(sampler, seconds)
    trace = read_journal(journal)
    found = {**idle_powers(trace, baseline), "baseline": baseline.to_dict()}
    found["idle"] = window_json(trace.window(baseline.begin_ns, baseline.end_ns))
    if baseline.context_begin_ns is not None and baseline.context_end_ns is not None:
        found["context"] = window_json(trace.window(baseline.context_begin_ns, baseline.context_end_ns))
    return found


SHAPES = {"full": (1.0, 1.0), "half": (1.0, 0.5), "square": (0.1, 0.5)}
"""Loads by name: seconds of a period, and the share of it that is busy."""


def load(
    out: Path, name: str, seconds: float, *, device: str = "cuda", sources: str = "nvml", settle_s: float = 2.0
) -> dict[str, Any] | None:
    """Meter a load of ``SHAPES`` on ``device``; None where torch cannot put one there."""
    period_s, duty = SHAPES[name]
    arguments = [device, str(seconds + 2 * settle_s), str(period_s), str(duty)]
    with subprocess.Popen([sys.executable, "-c", LOAD, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            return None
        time.sleep(settle_s)  # let the clocks settle
        with Meter(sources=sources, journal=out / f"{name}.csv.gz") as meter:
            time.sleep(seconds)
        process.kill()
    return window_json(meter.energy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--overhead-s", type=float, default=300.0)
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)

    def keep(name: str, values: Any) -> None:
        (out / name).write_text(json.dumps(values, indent=2) + "\n")
        print(f"{name}: written", flush=True)

    keep("doctor.json", inspect(min(options.seconds, 10.0), journal=out / "doctor.csv.gz"))
    keep("idle.json", idle(out, options.seconds))
    loads = {name: load(out, name, options.seconds) for name in SHAPES}
    keep("load.json", {name: found or "skipped: torch with CUDA is not installed" for name, found in loads.items()})
    for name, found in loads.items():
        for device in (found or {}).get("devices", []):
            print(f"{name:<7} {device['name']} {device['mean_power_w']:.1f} W counter/integral {device['ratio']}")
    if options.overhead_s:
        command = [sys.executable, "-m", "benchmarks.meter_overhead", "--sources", "nvml"]
        done = subprocess.run(
            [*command, "--own-cost-s", str(options.overhead_s)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        (out / "overhead.txt").write_text(done.stdout + done.stderr)
        print(done.stdout)
    (out / "live.bin").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
