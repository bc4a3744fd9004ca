"""How folders are called: a run's by suite and time, a trial's by label, seed (or number of the run) and a hash."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(?P<label>.+)-s(?P<seed>\d+)-[0-9a-f]{8}")


class Named(NamedTuple):
    """What a folder's name says."""

    label: str
    seed: int


def new_run_folder(name: str) -> Path:
    """``runs/<name>-<stamp>``."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def folder_name(label: str, seed: int, digest: str) -> str:
    """The name for a digest of eight hexadecimal digits."""
    return f"{label}-s{seed}-{digest}"


def read_name(name: str) -> Named | None:
    """Label and seed of a trial's folder; None for another folder."""
    found = _NAME.fullmatch(name)
    return Named(found["label"], int(found["seed"])) if found else None
