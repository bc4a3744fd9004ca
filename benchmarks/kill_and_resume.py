"""Kill a run with SIGKILL at random moments, start the same command again, and hold the end against an unkilled run.

    python benchmarks/kill_and_resume.py [--kills 100] [--steps 400] [--minutes 60] [--seed 0] [--out DIR]

Hit are the harness, the trainer, the sampler, or all of them, at any moment of any phase. Prints, per kill, what was
hit, in which phase, and how far training was; at the end a table of the kills by phase and whether losses, trials
and energy agree. A killed sampler alone ends nothing: the run goes on with another one.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

MODEL = [
    "suite.models=eco,melhubert",
    "suite.data=mini",
    "evaluate.labels=all",
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


def phase(out: Path) -> str:
    """The phase that the last journal of events stands in: the innermost one that has begun and not ended."""
    journals = sorted(out.glob("*/events.jsonl"), key=lambda path: path.stat().st_mtime)
    if not journals:
        return "start"
    open_ones: list[str] = []
    for line in journals[-1].read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == "session":
                open_ones = []
            elif event.get("event") == "begin":
                open_ones.append(event["phase"])
            elif event.get("event") == "end" and open_ones:
                open_ones.pop()
    if open_ones:
        return open_ones[-1]
    return "result" if (journals[-1].parent / "outcome.json").exists() else "start"


def kill_one(process: subprocess.Popen[bytes], generator: random.Random) -> str:
    """Kill the harness, the trainer, the sampler or all of them; say which."""
    found = {"harness": psutil.Process(process.pid)}
    for child in found["harness"].children(recursive=True):
        line = child.cmdline()
        for name, module in (("trainer", "greenbench.trial.worker"), ("sampler", "greenbench.power.sampler.main")):
            if module in line:
                found[name] = child
    name = generator.choice([*found, "all"])
    for victim in found.values() if name == "all" else [found[name]]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
    return name


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is killed")
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
    kills = kill_and_start_again(options, killed, generator, begin)
    print(f"\n{sum(kills.values())} kills, seed {options.seed}")
    for (where, hit), many in sorted(kills.items()):
        print(f"{where:<12}{hit:<9}{many:4d}")
    return 0 if verdict(rows(whole), rows(killed), killed) else 1


def kill_and_start_again(
    options: argparse.Namespace, out: Path, generator: random.Random, begin: float
) -> Counter[tuple[str, str]]:
    """Run the command until it ends by itself; give the kills by phase and by what was hit."""
    kills: Counter[tuple[str, str]] = Counter()
    process = None
    while True:
        if process is None:
            process = subprocess.Popen(
                command(out, options.steps), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        more = sum(kills.values()) < options.kills and time.monotonic() - begin < 60 * options.minutes
        try:
            process.wait(timeout=generator.uniform(0.5, options.longest_s) if more else 3600)
        except subprocess.TimeoutExpired:
            where = phase(out)
            try:
                hit = kill_one(process, generator)
            except psutil.NoSuchProcess:
                continue
            kills[where, hit] += 1
            print(f"kill {sum(kills.values())}: {hit} in {where}; {progress(out)}", flush=True)
            if hit != "sampler":
                process.wait()
                process = None
            continue
        if process.returncode == 0:
            return kills
        process = None


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
