"""Kill a run with SIGKILL at random moments, start the same command again, and hold the end against an unkilled run.

    python benchmarks/kill_and_resume.py [--kills 20] [--steps 400] [--out DIR]

Prints, per kill, what was hit and how far training was; at the end whether losses, trials and energy agree.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

MODEL = [
    "suite.models=eco,melhubert",
    "suite.controls=",
    "train.checkpoint_seconds=0.5",
    "train.log_seconds=0.05",
    "protocol.idle_seconds=0.3",
    "protocol.quiet_wait_seconds=0",
    "evaluate.tasks=",
    "train.threads=1",
    "models.eco.encoder.width=64",
    "models.eco.encoder.pattern=caca",
    "models.melhubert.encoder.width=64",
    "models.melhubert.encoder.layers=2",
    "models.melhubert.encoder.feed_forward=128",
    "models.melhubert.encoder.conv_pos_kernel=16",
    "train.batch_seconds=4",
    "train.crop_seconds=2",
    "suite.seeds=0,1",
]


def command(out: Path, steps: int) -> list[str]:
    overrides = [part for text in [*MODEL, f"budget.steps={steps}"] for part in ("-o", text)]
    return [sys.executable, "-m", "greenbench", "run", "--quiet", "--out", str(out), *overrides]


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report" / "results.csv").open() as file:
        return {f"{r['model']}-s{r['seed']}": r for r in csv.DictReader(file)}


def progress(out: Path) -> str:
    done = len(list(out.glob("*/result.json")))
    steps = [
        json.loads(p.read_text().splitlines()[-1]).get("step") for p in out.glob("*/metrics.jsonl") if p.stat().st_size
    ]
    return f"{done} trials finished, last steps {steps}"


def kill_one(process: subprocess.Popen[bytes], generator: random.Random) -> str:
    """Kill the harness, the trainer or the sampler; say which."""
    found = {"harness": psutil.Process(process.pid)}
    for child in found["harness"].children(recursive=True):
        line = " ".join(child.cmdline())
        found["trainer" if "trial.worker" in line else "sampler"] = child
    name = generator.choice([n for n in found if n != "sampler"])
    found[name].send_signal(signal.SIGKILL)
    return name


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(tempfile.mkdtemp()))
    parser.add_argument("--longest-s", type=float, default=14.0, help="longest time between a start and its kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    whole, killed = options.out / "whole", options.out / "killed"
    begin = time.monotonic()
    subprocess.run(command(whole, options.steps), check=True, stdout=subprocess.DEVNULL)
    whole_s = time.monotonic() - begin
    print(f"uninterrupted: {whole_s:.0f} s", flush=True)
    kills = 0
    while True:
        process = subprocess.Popen(command(killed, options.steps), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_s = generator.uniform(3.0, options.longest_s) if kills < options.kills else 1e9
        try:
            process.wait(timeout=min(wait_s, 3600))
        except subprocess.TimeoutExpired:
            try:
                hit = kill_one(process, generator)
            except psutil.NoSuchProcess:
                continue
            kills += 1
            process.wait()
            time.sleep(0.5)
            print(f"kill {kills}: {hit}; {progress(killed)}", flush=True)
            continue
        if process.returncode == 0:
            break
    print(f"{kills} kills in all; {killed.name} ended with code {process.returncode}")
    return 0 if verdict(rows(whole), rows(killed), killed) else 1


def verdict(whole: dict[str, dict[str, str]], killed: dict[str, dict[str, str]], folder: Path) -> bool:
    from greenbench.power.journal.trace import read_journal

    good = set(whole) == set(killed)
    for name, row in killed.items():
        trial = folder / row["run_dir"]
        journal_j = read_journal(trial / "power.csv.gz").total().energy_j
        result = json.loads((trial / "result.json").read_text())
        idle_j = result["energy"]["idle"]["energy_j"]
        same = row["final_loss"] == whole[name]["final_loss"] and row["steps"] == whole[name]["steps"]
        print(
            f"{name}: resumed {row['resumed']}, final loss {row['final_loss']} "
            f"({'equal' if same else 'DIFFERS: ' + whole[name]['final_loss']}), "
            f"total {float(row['energy_total_j']):.1f} J of {journal_j:.1f} J in the journal "
            f"(idle baselines {idle_j:.1f} J), wasted {row['energy_wasted_j'] or '0'} J"
        )
        good &= same
    print("all equal" if good else "NOT equal")
    return good


if __name__ == "__main__":
    sys.exit(main())
