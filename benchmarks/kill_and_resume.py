"""Runs that are killed with SIGKILL at exact moments and started again, held against one that nobody killed.

    python -m benchmarks.kill_and_resume [--kills 100] [--seed 1] [--out DIR] [--per-run 12] [--minutes 60]

Hit are the harness, the trainer, the sampler or all of them, in every phase, at an operation on a file or some
milliseconds later; a seed chooses. Ten of a hundred kills come while the disk is full (needs root, to mount a small
one), ten while the wall clock steps. Every line of DIR/kills.jsonl is a kill or a finished run; the same command goes
on with those that are missing. Exit code 1: something differs, counts twice or is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.kills.choice import PHASES, Kill, choose
from tests.kills.commands import MODELS, write_speech
from tests.kills.killing import Folders, Round
from tests.kills.stops import Stops
from tests.kills.verdict import compare

DISK_MIB = 48


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="default: a new folder of its own")
    parser.add_argument("--per-run", type=int, default=12, help="kills of one run folder")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no other run is begun")
    options = parser.parse_args()
    rest = options.out or Path(tempfile.mkdtemp(prefix="greenbench-kills-"))
    folders = Folders(rest / "disk", rest)
    folders.small.mkdir(parents=True, exist_ok=True)
    if mounted := os.geteuid() == 0 and not folders.small.is_mount():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folders.small], check=True)
    try:
        campaign(options, folders)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folders.small], check=True)
    lines = _lines(rest)
    print(table(lines))
    faults = [fault for line in lines if line["kind"] == "run" for fault in line["faults"]]
    print("\n".join(faults) or "every run ended like the one that nobody killed")
    return 1 if faults else 0


def campaign(options: argparse.Namespace, folders: Folders) -> None:
    """Run what is missing, one run folder after the other."""
    rest, begin = folders.rest, time.monotonic()
    kills = choose(options.seed, options.kills, folders.small)
    hit = {line["number"] for line in _lines(rest) if line["kind"] == "kill"}
    waiting = [
        kill for kill in kills if kill.number not in hit and (kill.trouble != "disk" or folders.small.is_mount())
    ]
    write_speech(folders.speech)
    for model in MODELS:
        unkilled = Folders(rest / "whole" / model, rest, model)
        if not (unkilled.out / "report" / "results.csv").exists() and unkilled.start({}, rest / "stderr").wait() != 0:
            raise SystemExit((rest / "stderr").read_text())
    stops = Stops(rest / "stops")
    missed: Counter[int] = Counter()
    while waiting and time.monotonic() - begin < 60 * options.minutes:
        now, waiting = waiting[: options.per_run], waiting[options.per_run :]
        folders.model = list(MODELS)[len([line for line in _lines(rest) if line["kind"] == "run"]) % len(MODELS)]
        left = one_run(folders, stops, now)
        missed.update(kill.number for kill in left)
        waiting += [kill for kill in left if missed[kill.number] < 6]


def one_run(folders: Folders, stops: Stops, kills: list[Kill]) -> list[Kill]:
    """Kill one run and judge it; give the kills whose moment did not come."""
    numbers, begin = [kill.number for kill in kills], time.monotonic()
    cpu_s = _cpu_s()
    round_ = Round(folders, stops, kills, lambda row: print(json.dumps(row), flush=True))
    round_.run()
    verdict = compare(folders.rest / "whole" / folders.model / "out", folders.out, round_.done)
    facts = {"starts": round_.starts, "took_s": round(time.monotonic() - begin, 1), "cpu_s": round(_cpu_s() - cpu_s, 1)}
    faults = [*round_.faults, *verdict.faults, *round_.late, *verdict.late]
    run = {"kind": "run", "model": folders.model, "planned": numbers, **facts, **verdict.facts, "faults": faults}
    with (folders.rest / "kills.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in (*round_.done, run))
    print(json.dumps(run), flush=True)
    if faults:
        kept = folders.rest / f"fault-{time.monotonic_ns()}"
        subprocess.run(["cp", "-r", folders.out, kept], check=True)
    return round_.pending


def table(lines: list[dict[str, Any]]) -> str:
    """Count kills by phase and by who was hit, and what they cost."""
    kills = [line for line in lines if line["kind"] == "kill"]
    runs = [line for line in lines if line["kind"] == "run"]
    hits = ("harness", "trainer", "sampler", "all")
    counted = Counter((kill["phase"], kill["hit"]) for kill in kills)
    rows = [f"{'phase':<12}" + "".join(f"{hit:>9}" for hit in hits) + f"{'in all':>9}"]
    for phase in PHASES:
        many = [counted[phase, hit] for hit in hits]
        rows.append(f"{phase:<12}" + "".join(f"{n:9d}" for n in many) + f"{sum(many):9d}")
    troubles = Counter(kill["trouble"] for kill in kills)
    lost_s = sorted(kill["lost_s"] for kill in kills if "lost_s" in kill)
    rows.append(
        f"{len(kills)} kills in {len(runs)} runs, {troubles['disk']} on a full disk, "
        f"{troubles['clock']} beside clock steps"
    )
    if lost_s:
        rows.append(
            f"readings lost by {len(lost_s)} killed samplers: median {lost_s[len(lost_s) // 2]} s, most {lost_s[-1]} s"
        )
    rows.append(f"{sum(run['cpu_s'] for run in runs):.0f} s of CPU, {sum(run['took_s'] for run in runs):.0f} s")
    return "\n".join(rows)


def _lines(rest: Path) -> list[dict[str, Any]]:
    path = rest / "kills.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
