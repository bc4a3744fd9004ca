"""A small corpus of real files and the command line as users run it."""

from __future__ import annotations

import csv
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile as sf

from greenbench.exports import export
from tests.tones import voiced
from tests.trial.pausing import PIPE, PLACE

SMALL = [
    "suite.controls=",
    "evaluate.labels=",
    "train.batch_seconds=4",
    "train.crop_seconds=2",
    "train.threads=1",
    "protocol.idle_seconds=0.2",
    "protocol.quiet_wait_seconds=0",
]
PAUSING = Path(__file__).with_name("pausing.py")
SMALL_ECO = [
    f"suite.models=eco={PAUSING}:PausingEco",
    "models.eco.encoder.width=32",
    "models.eco.encoder.pattern=ca",
    "models.eco.targets.units=16",
]


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
        wave = voiced(pitch, random, harmonics=11)
        sf.write(folder / f"u{number:02d}.wav", wave.astype(np.float32), 16_000)
        rows.append(f"u{number:02d}.wav\ts{number % 3}\t{' '.join(chosen)}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "GREENBENCH_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def command(speech_folder: Path) -> Callable[..., list[str]]:
    """Return the command line of a small run, without a report, with further ``-o`` overrides."""

    def build(out: Path, *overrides: str, model: str = "", report: bool = False) -> list[str]:
        chosen = [f"suite.models={model}"] if model else SMALL_ECO
        every = [*SMALL, *chosen, f"suite.data=folder:{speech_folder}", *overrides]
        options = [part for text in every for part in ("-o", text)]
        shown = [] if report else ["--no-report"]
        return [sys.executable, "-m", "greenbench", "run", "--out", str(out), *options, *shown]

    return build


def rows(out: Path) -> dict[str, dict[str, str]]:
    """The results of a run of one seed, by model, as texts with units in their columns' names."""
    found = list(csv.DictReader(io.StringIO(export([out], "csv")["results.csv"])))
    assert len({row["model"] for row in found}) == len(found)
    return {row["model"]: row for row in found}


@pytest.fixture(scope="session")
def greenbench(environment: dict[str, str]) -> Callable[[list[str]], subprocess.CompletedProcess[str]]:
    """Run a command line to its end."""

    def call(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, env=environment)

    return call


@dataclass
class StoppableRun:
    """A run of one or more trials that stop at a place known by name; see ``tests/trial/pausing.py``."""

    arguments: list[str]
    environment: dict[str, str]
    place: str
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._pipe = self.folder / "pipe"
        os.mkfifo(self._pipe)
        # Open for writing too, so that a trainer that has closed its end does not end the stream.
        self._reader = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            environment = {**self.environment, PLACE: self.place, PIPE: str(self._pipe)}
            # A shell starts its background jobs with SIGINT ignored, which every child inherits.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                self.process = subprocess.Popen(self.arguments, env=environment, stdout=out, stderr=err)
            finally:
                signal.signal(signal.SIGINT, before)

    def next_trainer(self) -> psutil.Process:
        """Wait until a trainer has stopped at the place; return it."""
        while not select.select([self._reader], [], [], 1.0)[0]:
            assert self.process.poll() is None, self.output()
        return psutil.Process(int(os.read(self._reader, 100)))

    def end(self) -> int:
        """Wait for the run's own end; return its exit code."""
        return self.process.wait()

    def output(self) -> str:
        """Return what the run has written to stdout and stderr."""
        return (self.folder / "out").read_text() + (self.folder / "err").read_text()

    def close(self) -> None:
        """Kill what still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._reader)


@pytest.fixture
def stoppable(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[list[str], str], StoppableRun]]:
    """Start a command line whose trainers stop at a place."""
    runs: list[StoppableRun] = []

    def start(arguments: list[str], place: str) -> StoppableRun:
        runs.append(StoppableRun(arguments, environment, place, tmp_path / f"stoppable-{len(runs)}"))
        return runs[-1]

    yield start
    for run in runs:
        run.close()
