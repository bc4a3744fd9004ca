"""What training costs on this card: speed, utilisation, memory and joules, and a comparison at equal joules.

    python benchmarks/gpu.py --out OUT [--data folder:RECORDINGS] [--joules 20000] [--region FRA]
    python benchmarks/gpu.py --out OUT --device cpu --quick        (under a minute, to try the script itself)

Under nine minutes on one GPU. Parts, each written to OUT/results.json as soon as it ends, errors included:

- ``speed``: eco, MelHuBERT and HuBERT at size base in bfloat16 and float32, eco also compiled: hours of audio per
  hour, FLOP/s against a matrix product of the same number format measured right before and after, peak memory, and
  joules per hour of audio by the meter (the NVML counter on a GPU); readings in OUT/journals/.
- ``equal_joules``: ``greenbench run`` of eco and MelHuBERT with the same joules on DATA, probed; OUT/equal-joules is
  an ordinary run folder.
- ``whole_pretraining``: eco's pretraining as its card configures it, extrapolated from the measured joules per hour.

Speed is measured on noise that lies on the device already: no loader, no features (a trial's ``stall_pct`` says what
the loader adds; log-mel is computed once per corpus).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

# Threads that spin while they wait make a busy machine many times slower; OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from stepping import Stepper

from greenbench.carbon import emissions_g, factor_for
from greenbench.cards import load_card
from greenbench.metering.command_result import device_json
from greenbench.metering.meter import Meter
from greenbench.plan.forecast import measure_matmul
from greenbench.records import find_trials
from greenbench.train.precision import cpu_has_bfloat16, pick_device
from greenbench.trial.memory import peak_rss_bytes, reset_peak_rss
from greenbench.units import SECONDS_PER_HOUR, joules_to_kwh

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("eco", "melhubert", "hubert")
KEPT = (
    "model",
    "size",
    "seed",
    "status",
    "dtype",
    "energy_budgeted_j",
    "energy_total_j",
    "energy_source",
    "steps",
    "audio_h",
    "pretrain_s",
    "pretrain_flops",
    "audio_s_per_s",
    "peak_memory_bytes",
    "final_loss",
    "mean_power_w",
    "stall_pct",
    "padding_pct",
)


class OutOfTime(Exception):
    """A part took longer than it was given."""


class Report:
    """``results.json``: rewritten after every part, so that what was measured is never lost."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.ends = path, time.monotonic() + 60 * minutes
        self.values: dict[str, Any] = {}

    @property
    def left_s(self) -> float:
        return self.ends - time.monotonic()

    def part(self, name: str, work: Callable[[], Any], *, needs_s: float = 5.0, limit_s: float | None = None) -> Any:
        """Run a part under an alarm; store what it returns, or why there is nothing."""
        began = time.monotonic()
        if self.left_s < needs_s:
            return self._store(name, {"skipped": f"{self.left_s:.0f} s left, {needs_s:.0f} s needed"}, began)
        signal.setitimer(signal.ITIMER_REAL, min(self.left_s, limit_s or self.left_s))
        try:
            found = work()
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            found = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc(limit=6)}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return self._store(name, found, began)

    def _store(self, name: str, found: Any, began: float) -> Any:
        if isinstance(found, dict):
            found["took_s"] = round(time.monotonic() - began, 2)
        group, _, entry = name.partition("/")
        if entry:
            self.values.setdefault(group, {})[entry] = found
        else:
            self.values[group] = found
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.values, indent=1, default=str) + "\n")
        temporary.replace(self.path)
        print(f"{name}: {_line(found)}", flush=True)
        return found


def _line(found: Any) -> str:
    if not isinstance(found, dict):
        return str(found)
    for key in ("error", "skipped"):
        if key in found:
            return f"{key}: {found[key]}"
    shown = {k: v for k, v in found.items() if isinstance(v, (int, float, str)) and not isinstance(v, bool)}
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())


def machine(device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version(), "device": str(device)}
    facts["threads"] = torch.get_num_threads()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"gpu": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
    return facts


def speed(
    name: str, dtype: str, *, device: torch.device, options: argparse.Namespace, compiled: bool = False
) -> dict[str, Any]:
    """Measure one model in one number format; the meter starts once the model is warm."""
    quick, on_gpu = options.quick, device.type == "cuda"
    _forget(device)
    shape = {"batch_s": options.batch_s, "crop_s": options.crop_s}
    stepper = Stepper(name, options.size, device=device, dtype=dtype, compiled=compiled, **shape)
    began = time.perf_counter()
    stepper.run(0.0 if quick else 0.5)
    stepper.step()
    stepper.settle()
    first_s = time.perf_counter() - began
    stepper.run(0.2 if quick else 2.0)
    product = {"device": str(device), "dtype": dtype, "seconds": 0.2, "size": 8192 if on_gpu else 1024}
    before = measure_matmul(**product)
    journal = options.out / "journals" / f"{name}-{dtype}{'-compiled' * compiled}.csv.gz"
    with Meter(journal=journal, synchronize=torch.cuda.synchronize if on_gpu else None) as meter:
        stretch = stepper.run(1.0 if quick else options.seconds)
    after = measure_matmul(**product)
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else peak_rss_bytes()
    matmul = (before + after) / 2
    audio_h = stretch.audio_s / SECONDS_PER_HOUR
    found: dict[str, Any] = {
        "model": name,
        "size": options.size,
        "dtype": dtype,
        "compiled": compiled,
        "params_m": sum(p.numel() for p in stepper.model.parameters()) / 1e6,
        "batch_audio_s": stepper.batch.audio_s,
        "crop_s": options.crop_s,
        "steps": stretch.steps,
        "measured_s": stretch.duration_s,
        "warm_up_s": first_s,
        "steps_per_s": stretch.steps_per_s,
        "audio_h_per_h": stretch.audio_s_per_s,
        "flops_per_s": stretch.flops_per_s,
        "matmul_flops_per_s": matmul,
        "matmul_before_after": [before, after],
        "utilisation": stretch.flops_per_s / matmul,
        "flops_train_per_audio_s": stretch.flops / stretch.audio_s,
        "peak_memory_bytes": memory,
    }
    energy = meter.energy
    if energy is not None and energy.energy_j is not None:
        found |= {
            "energy_j": energy.energy_j,
            "energy_kind": energy.kind,
            "energy_uncertainty_j": energy.uncertainty_j,
            "mean_power_w": energy.mean_power_w,
            "joules_per_audio_h": energy.energy_j / audio_h,
            "joules_per_audio_h_by_device": {
                d.name: d.energy_j / audio_h for d in energy.devices if d.energy_j is not None and d.counted
            },
            "devices": [device_json(d) for d in energy.devices],
        }
    found["warnings"] = meter.warnings
    return found


def _forget(device: torch.device) -> None:
    """Free what the last model held, and begin the peak of memory anew."""
    gc.collect()
    torch.compiler.reset()
    reset_peak_rss()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def equal_joules(options: argparse.Namespace, device: torch.device, limit_s: float) -> dict[str, Any]:
    """Run a suite as a user does, and gather its rows; what was finished in time counts."""
    folder = options.out / "equal-joules"
    suite = options.out / "equal-joules.toml"
    audio_s = (60, 30) if options.quick else (1200, 600)
    suite.write_text(
        f"""[suite]
name = "equal-joules"
models = ["eco", "melhubert"]
controls = {"[]" if options.quick else '["logmel"]'}
size = "{options.size}"
seeds = [0]
data = {json.dumps(options.data)}

[budget]
joules = {options.joules}

[train]
device = "{device}"
batch_seconds = {options.batch_s}
crop_seconds = {options.crop_s}

[evaluate]
tasks = {json.dumps(options.tasks.split(","))}
max_train_seconds = {audio_s[0]}
max_test_seconds = {audio_s[1]}

[protocol]
quiet_wait_seconds = 0
"""
    )
    command = [sys.executable, "-m", "greenbench", "run", str(suite), "--out", str(folder), "--quiet"]
    command += [part for override in options.override for part in ("-o", override)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    facts: dict[str, Any] = {"command": " ".join(command), "joules": options.joules}
    try:
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
        facts |= {"exit_code": done.returncode, "output_tail": (done.stdout + done.stderr)[-2000:]}
    except subprocess.TimeoutExpired:
        facts["stopped"] = f"after {limit_s:.0f} s; go on with: greenbench run --resume {folder}"
    trials = find_trials([folder]) if folder.exists() else []
    rows = {}
    for trial in trials:
        if trial.complete:
            row = trial.row
            scores = {k: v for k, v in row.items() if k.endswith("_pct")}
            rows[trial.label] = {**{k: row[k] for k in KEPT if k in row}, **scores}
    return {**facts, "rows": rows, "trials": len(trials)}


def whole_pretraining(found: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Extrapolate eco's configured pretraining from the cheapest and the plainest measured setting."""
    plan = load_card("eco").pretraining
    factor = factor_for(options.region, options.intensity)
    if plan is None:
        raise ValueError("models/eco.toml has no [pretraining]")
    measured = {k: v for k, v in found.items() if v.get("model") == "eco" and "joules_per_audio_h" in v}
    result: dict[str, Any] = {
        "data": plan.data,
        "audio_h_processed": plan.audio_h,
        "factor": factor.to_dict() if factor else None,
        "not_included": "features (once), targets, evaluation, the loader's stalls",
    }
    for name, entry in measured.items():
        joules = entry["joules_per_audio_h"] * plan.audio_h
        grams = emissions_g(joules, factor) if factor else (None, None, None)
        result[name] = {
            "hours": plan.audio_h / entry["audio_h_per_h"],
            "kwh": joules_to_kwh(joules),
            "kwh_by_device": {
                d: joules_to_kwh(j * plan.audio_h) for d, j in entry["joules_per_audio_h_by_device"].items()
            },
            "co2e_g": grams[0],
            "co2e_low_g": grams[1],
            "co2e_high_g": grams[2],
            "flops": entry["flops_train_per_audio_s"] * SECONDS_PER_HOUR * plan.audio_h,
        }
    return result


def _alarm(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's form
    raise OutOfTime("the part's time is up")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", default="mini", help="what to train on at equal joules, for example folder:PATH")
    parser.add_argument("--tasks", default="phones", help="comma-separated; phones fall back where there are no texts")
    parser.add_argument("--joules", type=float, help="per model; default 20000, quick 150")
    parser.add_argument("--minutes", type=float, help="for everything; default 8.7, quick 0.9")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured per setting")
    parser.add_argument("--batch-s", type=float, help="seconds of audio a batch; default 320, quick 8")
    parser.add_argument("--crop-s", type=float, help="default 10, quick 4")
    parser.add_argument("--region", default="FRA", help="for emissions")
    parser.add_argument("--intensity", type=float, help="g CO2e per kWh, in place of the region's")
    parser.add_argument("--quick", action="store_true", help="size tiny, short stretches, nothing compiled")
    parser.add_argument("-o", "--override", action="append", default=[], help="for the run at equal joules")
    options = parser.parse_args()
    quick = options.quick
    options.size = "tiny" if quick else "base"
    for name, full, small in (
        ("joules", 20000.0, 150.0),
        ("minutes", 8.7, 0.9),
        ("batch_s", 320.0, 8.0),
        ("crop_s", 10.0, 4.0),
    ):
        if getattr(options, name) is None:
            setattr(options, name, small if quick else full)
    return options


def main() -> None:
    options = parse()
    device = pick_device(options.device)
    (options.out / "journals").mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    signal.signal(signal.SIGALRM, _alarm)
    report = Report(options.out / "results.json", options.minutes)
    report.part("machine", lambda: machine(device))
    halves = device.type == "cuda" or cpu_has_bfloat16()
    settings = [(name, dtype) for dtype in (("bfloat16", "float32") if halves else ("float32",)) for name in MODELS]

    def measure(name: str, dtype: str, *, compiled: bool = False, limit_s: float = 40.0) -> None:
        label = f"{name} {dtype}{' compiled' * compiled}"
        work = lambda: speed(name, dtype, device=device, options=options, compiled=compiled)  # noqa: E731
        report.part(f"speed/{label}", work, limit_s=limit_s)

    for name, dtype in settings:
        measure(name, dtype)
    extrapolate = lambda: whole_pretraining(report.values.get("speed", {}), options)  # noqa: E731
    report.part("whole_pretraining", extrapolate, needs_s=0.5)
    _forget(device)
    # Compilation may take minutes: it comes last, and leaves the comparison its time.
    reserve_s = 0.0 if options.quick else 75.0
    run_s = max(0.0, report.left_s - reserve_s)
    report.part("equal_joules", lambda: equal_joules(options, device, run_s), limit_s=run_s + 5, needs_s=reserve_s + 10)
    if options.quick:
        report.part("speed/eco compiled", lambda: {"skipped": "--quick"}, needs_s=0.0)
    else:
        for dtype in dict.fromkeys(dtype for _, dtype in settings):
            measure("eco", dtype, compiled=True, limit_s=120.0)
        report.part("whole_pretraining", extrapolate, needs_s=0.5)


if __name__ == "__main__":
    main()
