"""How fast the models train on this CPU, through the real loader, beside a matrix product measured in turn with them.

    python benchmarks/throughput.py [--models eco,melhubert,hubert] [--size tiny] [--threads 1,2] [--rounds 5]

One row a model, number format and number of threads; all figures are medians over the rounds with smallest and
largest. Rounds are interleaved (every setting once, then again), so that a machine that slows down hits all alike.
``utilisation`` is counted training FLOP/s over those of a 1024 x 1024 matrix product in the same format and with as
many threads, measured just before; ``stalls`` the share of time spent waiting for batches; ``cropped`` the audio that
an epoch's equal-length crops leave away, ``padding`` what is padded. Units are random, which costs what real ones do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Threads that spin while they wait make a busy machine many times slower; OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from stepping import Stepper, Stretch

from greenbench.batches.loader import BatchLoader
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore, prepare_waveforms
from greenbench.models.kmeans import UnitLabels
from greenbench.plan.forecast import measure_matmul
from greenbench.train.precision import cpu_has_bfloat16

CPU = torch.device("cpu")
WARM_UP_STEPS = 3


class Training:
    """A model with its optimizer and its loader, stepped for a while at a time."""

    def __init__(
        self, name: str, dtype: str, corpus: Corpus, store: WaveformStore, options: argparse.Namespace
    ) -> None:
        shape = {"batch_s": options.batch_s, "crop_s": options.crop_s}
        self.stepper = Stepper(name, options.size, device=CPU, dtype=dtype, **shape)
        model = self.stepper.model
        if hasattr(model, "labels"):
            units = np.random.default_rng(0)
            parts = (units.integers(0, 64, n // 320 + 1) for n in store.num_samples)
            model.labels = UnitLabels.build(parts, hop_samples=320)  # type: ignore[assignment]
        features = FeatureStore.compute(store, model.feature_spec) if model.feature_spec is not None else None
        self.loader = BatchLoader(
            store,
            features,
            seed=0,
            fingerprint=corpus.fingerprint,
            batch_seconds=options.batch_s,
            crop_seconds=options.crop_s,
        )

    def run(self, seconds: float) -> tuple[Stretch, float]:
        """Step for about so long; return what was done and the share of the time that the loader took."""
        for _ in range(WARM_UP_STEPS):
            self.stepper.step(next(self.loader))
        stalled, steps, audio_s, flops = self.loader.stall_s, 0, 0.0, 0.0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            batch = next(self.loader)
            self.stepper.step(batch)
            steps += 1
            audio_s += batch.audio_s
            flops += self.stepper.flops_of(batch.size, batch.num_samples)
        duration_s = time.perf_counter() - began
        return Stretch(steps, audio_s, duration_s, flops), (self.loader.stall_s - stalled) / duration_s


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    corpus = load_corpus(options.data)
    store = prepare_waveforms(corpus, workers=1)["pretrain"]
    settings = list(itertools.product(options.threads, options.dtypes, options.models))
    pairs = itertools.product(options.models, options.dtypes)
    trainings = {(name, dtype): Training(name, dtype, corpus, store, options) for name, dtype in pairs}
    rounds: dict[tuple[int, str, str], list[dict[str, float]]] = {setting: [] for setting in settings}
    for _ in range(options.rounds):
        for threads, dtype, name in settings:
            torch.set_num_threads(threads)
            matmul = measure_matmul("cpu", dtype=dtype, seconds=0.3)
            stretch, stalls = trainings[name, dtype].run(options.seconds)
            rounds[threads, dtype, name].append(
                {
                    "steps_per_s": stretch.steps_per_s,
                    "audio_s_per_s": stretch.audio_s_per_s,
                    "gflop_per_s": stretch.flops_per_s / 1e9,
                    "matmul_gflop_per_s": matmul / 1e9,
                    "utilisation_pct": 100 * stretch.flops_per_s / matmul,
                    "stalls_pct": 100 * stalls,
                }
            )
    rows = []
    for (threads, dtype, name), found in rounds.items():
        plan = trainings[name, dtype].loader.plan
        waste = {"padding_pct": 100 * plan.padding_ratio, "cropped_pct": 100 * plan.cropped_ratio}
        rows.append({"model": name, "dtype": dtype, "threads": threads, **waste, "rounds": found})
    return rows


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def show(rows: list[dict[str, Any]]) -> None:
    heads = list(rows[0]["rounds"][0])
    table = [["model", "dtype", "threads", *heads, "padding_pct", "cropped_pct"]]
    for row in rows:
        figures = [spread([one[head] for one in row["rounds"]]) for head in heads]
        waste = [f"{row['padding_pct']:.2f}", f"{row['cropped_pct']:.2f}"]
        table.append([row["model"], row["dtype"], str(row["threads"]), *figures, *waste])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--models", type=names, default="eco,melhubert,hubert")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--data", default="mini")
    parser.add_argument("--dtypes", type=names, help="default float32, and bfloat16 where the CPU multiplies it")
    parser.add_argument("--threads", type=lambda t: [int(n) for n in names(t)], help="default 1,2 as far as there are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of steps per setting and round")
    parser.add_argument("--batch-s", type=float, default=16.0, help="seconds of audio a batch")
    parser.add_argument("--crop-s", type=float, default=4.0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all rounds")
    options = parser.parse_args()
    options.dtypes = options.dtypes or ["float32", *(["bfloat16"] if cpu_has_bfloat16() else [])]
    options.threads = options.threads or [n for n in (1, 2) if n <= cores]
    torch.set_flush_denormal(True)
    rows = measure(options)
    print(f"{cores} cores, torch {torch.__version__}, {options.rounds} rounds of {options.seconds:g} s: median (range)")
    show(rows)
    if "bfloat16" not in options.dtypes:
        print("bfloat16 was left out: this CPU has no bfloat16 products (--dtypes float32,bfloat16 measures it anyway)")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
