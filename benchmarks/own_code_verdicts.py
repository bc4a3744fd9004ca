"""Are verdicts on a user's own code right? A loop against one 10 % longer, and against itself, many times over.

    python -m benchmarks.own_code_verdicts --repetitions 20 [--seconds 0.15]

Each repetition is five runs a side, alternating, as ``greenbench measure --repeat 5 --interleave`` does them. The loop
logs the processor time it took. Where no sensor can be read the joules are the CPU model's: processor time, and the
idle machine's share for as long as the program takes by the clock, the greater part of it beside busy neighbours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

LOOP = """
import os, sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    pass
os.write(int(os.environ["GREENBENCH_METRICS_FD"]), b'{"processor_s": %.6f}' % time.process_time())
"""


def verdicts(folder: Path, seconds: float, other_s: float) -> dict[str, tuple[str, float]]:
    """One repetition: verdict and relative difference by metric."""
    script = folder / "loop.py"
    script.write_text(LOOP, encoding="utf-8")
    command = [sys.executable, "-m", "greenbench", "measure", "--record", str(folder / "records"), "--json"]
    command += [
        "--metric",
        "processor_s=lower",
        "--repeat",
        "5",
        "--interleave",
        f"{sys.executable} {script} {other_s}",
    ]
    command += ["--", sys.executable, str(script), str(seconds)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = found["comparison"]["comparisons"]
    return {row["metric"]: (row["verdict"], row["difference"] / row["base"]) for row in rows}


def main() -> None:
    """Print how often each verdict was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.15)
    asked = parser.parse_args()
    for title, factor in (("10 % longer", 1.1), ("itself", 1.0)):
        counts: Counter[tuple[str, str]] = Counter()
        for number in range(asked.repetitions):
            with tempfile.TemporaryDirectory() as folder:
                found = verdicts(Path(folder), asked.seconds, asked.seconds * factor)
            counts.update((metric, verdict) for metric, (verdict, _) in found.items())
            shown = (f"{name} {found[name][1]:+.1%}, {found[name][0]}" for name in ("processor_s", "energy_total_j"))
            print(f"{title}, {number + 1}: {'; '.join(shown)}", flush=True)
        for (metric, verdict), times in sorted(counts.items()):
            print(f"against {title}: {metric} {verdict} in {times} of {asked.repetitions}", flush=True)


if __name__ == "__main__":
    main()
