"""Whole runs, as a user types them: ``greenbench run quickstart``, and equal joules for three models at size base."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts.ladder import MODELS
from benchmarks.gpu_parts.recorder import Options
from greenbench.records import find_trials

ROOT = Path(__file__).resolve().parents[2]
KEPT = (
    "seed",
    "status",
    "device",
    "gpu",
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
)
QUICKSTART_S = 45.0
AROUND_A_TRIAL_S = 12.0
"""Guess: what a trial of the quickstart takes on a card beside its training."""
QUICKSTART_TRIALS = 7
STOPPING_S = 12.0
QUICK = (
    "suite.data=mini",
    "suite.models=eco",
    "suite.controls=",
    "budget.seconds=2",
    "protocol.idle_seconds=0.2",
    "protocol.quiet_wait_seconds=0",
    "evaluate.max_train_seconds=60",
    "evaluate.max_test_seconds=30",
    "evaluate.labels=",
)
EQUAL_JOULES = """# {models} at size {size} under equal joules, on real speech that comes with the package.
[suite]
name = "equal-joules"
models = {listed}
controls = []
size = "{size}"
seeds = [0]
data = "{data}"

[budget]
joules = {joules:g}

[train]
device = "{device}"
batch_seconds = {batch_s:g}
crop_seconds = {crop_s:g}

[evaluate]
tasks = ["phones"]
{labels}

[protocol]
idle_seconds = {idle_s:g}
quiet_wait_seconds = 0
"""


def quickstart(options: Options, limit_s: float) -> dict[str, Any]:
    """``greenbench run quickstart`` to its report; where time is short, with fewer seconds a model."""
    overrides = list(QUICK) if options.quick else []
    room_s = (limit_s - STOPPING_S - QUICKSTART_TRIALS * AROUND_A_TRIAL_S) / len(MODELS)
    if not options.quick and room_s < QUICKSTART_S:
        overrides.append(f"budget.seconds={max(5, int(room_s))}")
    if not options.on_gpu:
        overrides.append(f"train.device={options.device}")
    arguments = ["quickstart", *(part for override in overrides for part in ("-o", override))]
    found = _run(arguments, options.out / "quickstart", limit_s)
    return {"as_typed": not overrides, **found}


def equal_joules(options: Options, limit_s: float) -> dict[str, Any]:
    """Eco, MelHuBERT and HuBERT with the same joules, probed; what has finished by the limit counts."""
    suite = options.out / "equal-joules.toml"
    quick = options.quick
    text = EQUAL_JOULES.format(
        models=", ".join(MODELS),
        listed=str(list(MODELS)).replace("'", '"'),
        size=options.size,
        data="mini" if quick else "librispeech-mini",
        joules=options.joules,
        device=options.device,
        batch_s=options.batch_s,
        crop_s=options.crop_s,
        labels="max_train_seconds = 60\nmax_test_seconds = 30" if quick else 'labels = "1h"',
        idle_s=0.2 if quick else 2.0,
    )
    suite.write_text(text, encoding="utf-8")
    return {"joules": options.joules, **_run([str(suite)], options.out / "equal-joules", limit_s)}


def _run(arguments: list[str], folder: Path, limit_s: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "greenbench", "run", *arguments, "--out", str(folder), "--quiet"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    facts: dict[str, Any] = {"command": "greenbench run " + shlex.join(arguments)}
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = process.communicate(timeout=max(1.0, limit_s - STOPPING_S))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        facts["stopped"] = f"after {limit_s - STOPPING_S:.0f} s"
        try:
            said, _ = process.communicate(timeout=STOPPING_S - 2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    trials = find_trials([folder]) if folder.exists() else []
    rows = {trial.label: _row(dict(trial.row)) for trial in trials if trial.complete}
    return {
        **facts,
        "exit_code": process.returncode,
        "report": (folder / "report" / "index.html").is_file(),
        "finished": len(rows),
        "trials": len(trials),
        "rows": rows,
        "said": said[-3000:],
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    scores = {k: v for k, v in row.items() if k.endswith(("_per_pct", "_cer_pct", "_error_pct"))}
    return {k: v for k, v in {**{k: row.get(k) for k in KEPT}, **scores}.items() if v is not None}
