"""One after the other in one process: no exception but the own ones, no hang, nothing written where it should not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.config import load_suite
from greenbench.errors import GreenbenchError
from greenbench.plan import expand
from greenbench.preflight import check_trials
from tests.fuzzing.targets import TARGETS, Place

HANG_S = 10


class Hang(BaseException):
    """An input that took longer than ten seconds of the processor."""


@dataclass
class Fault:
    """One input that went wrong; ``python -m benchmarks.fuzz --target T --seed S --first N --inputs 1`` repeats it."""

    target: str
    seed: int
    number: int
    text: str

    @property
    def kind(self) -> str:
        """The exception and the last line of greenbench's own code that it went through."""
        frames = [line.strip() for line in self.text.splitlines() if line.strip().startswith("File")]
        own = [line for line in frames if "/greenbench/" in line]
        return f"{self.text.strip().splitlines()[-1][:160]}  [{(own or frames or ['?'])[-1]}]"


@dataclass
class Campaign:
    """What was tried: inputs, how many were taken and refused, and the faults."""

    inputs: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def fuzz(seed: int, numbers: Sequence[int], targets: Sequence[str] = tuple(TARGETS)) -> Campaign:
    """Try the inputs of these numbers; each target's share by turns."""
    campaign = Campaign()
    suite = load_suite("quickstart")
    check_trials(suite, expand(suite))  # loads torch and all models: seconds that no input is to be charged with
    with _apart() as root:
        for number in numbers:
            target = targets[number % len(targets)]
            begin = time.process_time()
            text = _one(target, f"{seed}:{target}:{number}", root, campaign)
            campaign.seconds[target] += time.process_time() - begin
            campaign.inputs[target] += 1
            if text:
                campaign.faults.append(Fault(target, seed, number, text))
    return campaign


def _one(target: str, key: str, root: Path, campaign: Campaign) -> str:
    place = Place(root / "inputs", root / "outputs")
    for folder in (place.inputs, place.outputs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        TARGETS[target](random.Random(key), place)
    except GreenbenchError as error:
        campaign.refused[target] += 1
        return "" if "\n" not in str(error).strip() else f"an error of several lines:\n{error}\n"
    except (Exception, Hang):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    strays = list((root / "home").iterdir())
    for path in strays:  # the folder itself is the working folder, and stays
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if strays:
        return f"written outside of the output folder: {[path.name for path in strays]}\n"
    return ""


def _hang(*_: object) -> None:
    raise Hang(f"more than {HANG_S} s")


@contextlib.contextmanager
def _apart() -> Iterator[Path]:
    """An empty home that is the working folder, too: whatever lands there was written outside of the output folder."""
    before, place = dict(os.environ), Path.cwd()
    root = Path(tempfile.mkdtemp(prefix="greenbench-fuzz-"))
    (root / "home").mkdir()
    os.environ.update(HOME=str(root / "home"), GREENBENCH_CACHE=str(root / "cache"))
    os.chdir(root / "home")
    handler = signal.signal(signal.SIGPROF, _hang)
    try:
        yield root
    finally:
        signal.signal(signal.SIGPROF, handler)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(root, ignore_errors=True)
