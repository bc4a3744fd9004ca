"""Error against budget for several sizes of one model, and which size each budget wants.

    python benchmarks/scaling.py [--model eco] [--sizes tiny,small] [--joules 48,96,192,384,768] [--seeds 0] --out DIR

Each budget is one ``greenbench run`` with an arm per size, so everything is charged and metered as in any run, and a
benchmark that was stopped goes on where it stood. Prints a row per budget, then what it says about size: two sizes are
equally good where their curves cross, and compute grows with parameters times audio. If the best number of parameters
follows N = sqrt(C / r) for C training FLOPs (size and data grow alike: Hoffmann et al. 2022, arXiv:2203.15556), then
r = C / N^2 at a crossing, with N the geometric mean of the two sizes. Without a crossing r has only a bound.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

METRIC = "phones_per_pct"


@dataclass(frozen=True)
class Point:
    """One size at one budget: means over seeds."""

    size: str
    joules: float
    per_pct: float
    spread: float
    flops: float
    params: float
    steps: float


def run(options: argparse.Namespace, joules: str) -> Path:
    """Run all sizes at one budget and return the run's folder."""
    folder = Path(options.out) / f"{joules}-joules"
    arms = ",".join(f"{size}={options.model}" for size in options.sizes.split(","))
    command = [sys.executable, "-m", "greenbench", "run", "quickstart", "--out", str(folder)]
    settings = [
        f"suite.models={arms}",
        f"suite.seeds={options.seeds}",
        "suite.controls=",
        f"budget.joules={joules}",
        "train.threads=1",
        "evaluate.tasks=phones",
        "protocol.quiet_wait_seconds=0",
        f"suite.baseline={options.sizes.split(',')[0]}",
        *(f"models.{size}.size={size}" for size in options.sizes.split(",")),
    ]
    for setting in settings:
        command += ["-o", setting]
    subprocess.run(command, check=True)
    return folder


def points(folder: Path, joules: float) -> list[Point]:
    """Read the finished trials of one budget."""
    rows = [json.loads(path.read_text())["row"] for path in sorted(folder.glob("*/result.json"))]
    found = []
    for size in sorted({row["model"] for row in rows}):
        mine = [row for row in rows if row["model"] == size and row.get(METRIC) is not None]
        errors = [row[METRIC] for row in mine]
        found.append(
            Point(
                size,
                joules,
                statistics.fmean(errors),
                statistics.stdev(errors) if len(errors) > 1 else math.nan,
                *(statistics.fmean(row[key] for row in mine) for key in ("pretrain_flops", "params", "steps")),
            )
        )
    return found


def crossing(smaller: list[Point], larger: list[Point]) -> tuple[float, str]:
    """Return FLOPs at which two curves cross, interpolated in log FLOPs, or the bound that their ends give."""
    gaps = [(math.log(a.flops), a.per_pct - b.per_pct) for a, b in zip(smaller, larger, strict=True)]
    if gaps[-1][1] < 0:
        return math.exp(gaps[-1][0]), ">"
    if gaps[0][1] > 0:
        return math.exp(gaps[0][0]), "<"
    for (x0, g0), (x1, g1) in pairwise(gaps):
        if g0 < 0 <= g1:
            return math.exp(x0 + (x1 - x0) * g0 / (g0 - g1)), "="
    return math.exp(gaps[-1][0]), ">"


def main() -> None:
    """Run what is missing, print the curve and the rule, and write both beside the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="eco")
    parser.add_argument("--sizes", default="tiny,small")
    parser.add_argument("--joules", default="48,96,192,384,768")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    sizes = options.sizes.split(",")
    curve = [p for joules in options.joules.split(",") for p in points(run(options, joules), float(joules))]
    lines = [f"{'J':>7s}  {'size':8s}{'PER %':>14s}{'updates':>9s}{'FLOPs':>11s}{'params':>11s}"]
    for p in curve:
        spread = "" if math.isnan(p.spread) else f" ± {p.spread:.1f}"
        error = f"{p.per_pct:.1f}{spread}"
        lines.append(f"{p.joules:7.0f}  {p.size:8s}{error:>14s}{p.steps:9.0f}{p.flops:11.3g}{p.params:11.3g}")
    by_size = {size: sorted((p for p in curve if p.size == size), key=lambda p: p.joules) for size in sizes}
    for small, large in pairwise(sizes):
        flops, sign = crossing(by_size[small], by_size[large])
        between = math.sqrt(by_size[small][0].params * by_size[large][0].params)
        rule = f"r {sign} {flops / between**2:.3g} in N = sqrt(C / r)"
        lines.append(f"{small} and {large} are equal at {sign} {flops:.3g} FLOP: {rule}")
    text = "\n".join(lines)
    print(text)
    Path(options.out, "scaling.txt").write_text(text + "\n")
    Path(options.out, "scaling.json").write_text(json.dumps([vars(p) for p in curve], indent=1) + "\n")


if __name__ == "__main__":
    main()
