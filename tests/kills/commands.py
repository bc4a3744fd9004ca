"""The run that is killed: eight short utterances, a model of two blocks, and every phase that there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.tones import voiced

STEPS = 24
OPTIONS = (
    "suite.controls=",
    "suite.seeds=0",
    f"budget.steps={STEPS}",
    "carbon.region=FRA",
    "evaluate.tasks=effective_rank",
    "protocol.idle_seconds=0.1",
    "protocol.quiet_wait_seconds=0",
    "train.threads=1",
    "train.batch_seconds=2",
    "train.crop_seconds=1",
    "train.checkpoint_seconds=0.02",
    "train.log_seconds=1e-9",
)
MODELS = {
    "eco": ("encoder.width=32", "encoder.pattern=ca", "targets.units=16", "relabelling.at=[0.5]"),
    "melhubert": (
        "encoder.layers=2",
        "encoder.width=32",
        "encoder.heads=2",
        "encoder.feed_forward=64",
        "encoder.conv_pos_kernel=16",
        "targets.units=16",
    ),
}


def write_speech(folder: Path) -> None:
    """Write eight utterances of about a second by two speakers."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path\tspeaker\ttext\tsplit"]
    for number in range(8):
        random = np.random.default_rng(number)
        time_s = np.arange(int(16_000 * random.uniform(1.1, 1.4))) / 16_000
        pitch_hz = 100 + 60 * (number % 2) + 20 * np.sin(2 * np.pi * 2 * time_s + number)
        soundfile.write(folder / f"u{number}.wav", voiced(pitch_hz, random, harmonics=7), 16_000)
        rows.append(f"u{number}.wav\ts{number % 2}\tone two\t{'test' if number > 5 else 'train'}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def command(out: Path, speech: Path, model: str) -> list[str]:
    """The command line, the same for the first start and for every other one."""
    own = [f"suite.models={model}", *(f"models.{model}.{option}" for option in MODELS[model])]
    options = [part for text in (f"suite.data=folder:{speech}", *OPTIONS, *own) for part in ("-o", text)]
    return [sys.executable, "-m", "greenbench", "run", "--quiet", "--out", str(out), *options]


def environment(cache: Path, compiled: Path) -> dict[str, str]:
    """Byte code is kept: most of a killed run's time is its start."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "GREENBENCH_CACHE": str(cache), "PYTHONPYCACHEPREFIX": str(compiled), "OMP_NUM_THREADS": "1"}
