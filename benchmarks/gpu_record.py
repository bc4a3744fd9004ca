"""One record of what a card does, made whenever one is at hand.

    python benchmarks/gpu_record.py --minutes 8.5 --out DIR
    python benchmarks/gpu_record.py --device cpu --quick     (a minute or two on two cores, to know that it works)
    python benchmarks/gpu_record.py --parts quickstart,equal-joules --out DIR      (some of it, into the same folder)

In this order: a trace of the training step; draws equal on host and card, no step that waits for the card, compiled as
eager, resumed to the bit; the ladder of switches for eco, MelHuBERT and HuBERT, metered; loads of a known shape, by
counter and by integrated power; ``greenbench run quickstart`` to its report; equal joules at size base, on real speech
of the package. Every part is a process of its own under a time limit, is written to DIR/parts as it ends with
what it found or its error, and DIR/summary.md is made anew. DIR/record.tar.gz is all of it without weights.

Settings to be compiled are compiled beside the trace and the checks, so that the ladder finds their kernels in the
compiler's cache. ``--quick`` takes size tiny, short stretches, and traces graphs without making kernels for them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Threads that spin while they wait make a busy machine many times slower; OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Looking for a card must not start CUDA here: a process that is forked afterwards could not use it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu_parts import checks, ladder, loads, machine, suites, summary, trace
from benchmarks.gpu_parts.recorder import Options, Recorder, archive

QUICKSTART_SHARE, EQUAL_JOULES_SHARE = 0.24, 0.2
"""Parts of the whole time that are kept for the last two parts, whatever the others take."""


class Record:
    """The parts in their order; each gets what is left, less what the later ones are promised."""

    def __init__(self, options: Options, chosen: list[str]) -> None:
        self.options, self.chosen = options, chosen
        self.recorder = Recorder(options)
        self.order: list[str] = ["machine"]
        self.equal_s = 60 * options.minutes * EQUAL_JOULES_SHARE
        self.last_s = self.equal_s + 60 * options.minutes * QUICKSTART_SHARE

    def preload(self) -> None:
        """Load here what every part needs, so that none waits for it; nothing of it touches a card."""
        for module in ("torch._dynamo", *(f"greenbench.models.{model}" for model in ladder.MODELS)):
            importlib.import_module(module)

    def wants(self, name: str) -> bool:
        """Whether a part was asked for, by its name or by what its name begins with."""
        return not self.chosen or any(name.startswith(prefix) for prefix in self.chosen)

    def part(self, name: str, work: Callable[..., dict[str, object]], *arguments: object, limit_s: float) -> None:
        """Run a part that was asked for and write the summary anew."""
        if not self.wants(name):
            return
        self.order.append(name)
        keep_s = 0.0 if self.chosen else {"equal-joules": 0.0, "quickstart": self.equal_s}.get(name, self.last_s)
        self.recorder.part(name, work, *arguments, limit_s=limit_s, keep_s=keep_s)
        self.write()

    def write(self) -> None:
        """Make the summary of all parts in the folder, those of an earlier call too."""
        known = [path.stem for path in sorted((self.options.out / "parts").glob("*.json"))]
        summary.write_summary(self.options.out, [*self.order, *(name for name in known if name not in self.order)])

    def run(self) -> None:
        """Make the record."""
        options = self.options
        self.preload()
        command = ["python", *sys.argv]
        found = self.recorder.part("machine", machine.machine, command, limit_s=60.0)
        if "fork" in str(found.get("error", "")):
            self.recorder.load_anew()
            self.recorder.part("machine", machine.machine, command, limit_s=60.0)
        prepared = [] if options.quick else list(self._prepare())
        models = ladder.MODELS[: 1 if options.quick else 3]
        for name in models:
            self.part(f"trace-{name}", trace.trace, name, limit_s=40.0)
        self.part("check-draws", checks.draws, limit_s=30.0)
        for name in models:
            self.part(f"check-waits-{name}", checks.waits, name, limit_s=30.0)
        for name in models:
            self.part(f"check-resumed-{name}", checks.resumed, name, limit_s=40.0)
        self.part("check-compiled-eco", checks.compiled, "eco", limit_s=90.0)
        if prepared:
            self.recorder.join()
            self.order += prepared
        for rung in ladder.rungs(options):
            self.part(rung.name, ladder.measure, rung, limit_s=options.seconds + 60.0)
        for name in ("full", "half", "square"):
            self.part(f"load-{name}", loads.metered_load, name, limit_s=options.seconds + 30.0)
        for name, work, after_s in (
            ("quickstart", suites.quickstart, 0.0 if self.chosen else self.equal_s),
            ("equal-joules", suites.equal_joules, 0.0),
        ):
            limit_s = max(1.0, self.recorder.left_s - after_s - 5.0)
            self.part(name, work, limit_s - 2.0, limit_s=limit_s)

    def _prepare(self) -> Iterator[str]:
        """Compile beside the first parts what the ladder measures compiled."""
        for rung in ladder.rungs(self.options):
            name = f"prepare-{rung.name}"
            if rung.how in ("compiled", "graphs") and not rung.label and self.wants(rung.name):
                self.recorder.beside(name, ladder.prepare, rung, limit_s=0.25 * 60 * self.options.minutes)
                yield name


def parse() -> tuple[Options, list[str]]:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: runs/gpu-record-<stamp>")
    parser.add_argument("--minutes", type=float, default=8.5, help="for everything")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="size tiny, short stretches, graphs without kernels")
    parser.add_argument("--seconds", type=float, help="metered per setting; default 8, quick 0.4")
    parser.add_argument("--batch-s", type=float, help="seconds of audio a batch; default 320, quick 8")
    parser.add_argument("--crop-s", type=float, help="default 10, quick 4")
    parser.add_argument("--joules", type=float, help="per model at equal joules; default 5000, quick 30")
    parser.add_argument("--parts", default="", help="comma-separated beginnings of part names; default: all")
    given = parser.parse_args()
    quick = given.quick
    options = Options(
        out=(given.out or Path("runs") / f"gpu-record-{time.strftime('%Y%m%d-%H%M%S')}").resolve(),
        device=given.device,
        quick=quick,
        minutes=given.minutes,
        size="tiny" if quick else "base",
        batch_s=given.batch_s or (8.0 if quick else 320.0),
        crop_s=given.crop_s or (4.0 if quick else 10.0),
        seconds=given.seconds or (0.4 if quick else 8.0),
        joules=given.joules or (30.0 if quick else 5000.0),
    )
    return options, [part for part in given.parts.split(",") if part]


def main() -> int:
    """Make a record; 1 where a part has failed, by its own error or by a check that does not hold."""
    options, chosen = parse()
    began = time.monotonic()
    record = Record(options, chosen)
    try:
        record.run()
    finally:
        record.write()
        print(f"{time.monotonic() - began:6.1f} s in all: {options.out / 'summary.md'}, {archive(options.out).name}")
    return int(bool(record.recorder.failed))


if __name__ == "__main__":
    sys.exit(main())
