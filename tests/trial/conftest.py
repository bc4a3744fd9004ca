"""A small corpus of real files and the command line as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

SMALL = [
    "suite.controls=",
    "train.batch_seconds=4",
    "train.crop_seconds=2",
    "train.threads=1",
    "protocol.idle_seconds=0.2",
    "protocol.quiet_wait_seconds=0",
]
SMALL_ECO = ["suite.models=eco", "models.eco.width=32", "models.eco.pattern=ca", "models.eco.units=16"]


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 24 utterances of gliding harmonic tones by three speakers, with words for them."""
    folder = tmp_path_factory.mktemp("speech")
    random = np.random.default_rng(0)
    rows = ["path\tspeaker\ttext"]
    words = ["ba", "do", "mi", "ka", "le", "su"]
    for number in range(24):
        chosen = [words[i] for i in random.integers(0, len(words), 4)] + [words[number % len(words)]]
        time_s = np.arange(int(16_000 * random.uniform(2.2, 3.0))) / 16_000
        pitch = 100 + 40 * (number % 3) + 20 * np.sin(2 * np.pi * 1.5 * time_s + number)
        wave = sum(np.sin(2 * np.pi * h * np.cumsum(pitch) / 16_000) / h for h in range(1, 12))
        wave = 0.1 * wave + 0.01 * random.standard_normal(len(time_s))
        sf.write(folder / f"u{number:02d}.wav", wave.astype(np.float32), 16_000)
        rows.append(f"u{number:02d}.wav\ts{number % 3}\t{' '.join(chosen)}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "GREENBENCH_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def command(speech_folder: Path) -> Callable[..., list[str]]:
    """Return the command line of a small run; further ``-o`` overrides may be given."""

    def build(out: Path, *overrides: str, model: str = "") -> list[str]:
        chosen = [f"suite.models={model}"] if model else SMALL_ECO
        every = [*SMALL, *chosen, f"suite.data=folder:{speech_folder}", *overrides]
        options = [part for text in every for part in ("-o", text)]
        return [sys.executable, "-m", "greenbench", "run", "--out", str(out), *options]

    return build


@pytest.fixture(scope="session")
def greenbench(environment: dict[str, str]) -> Callable[[list[str]], subprocess.CompletedProcess[str]]:
    """Run a command line to its end."""

    def call(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=240)

    return call
