"""How a trial's folder is called: label, seed (or the number of the run) and a hash of what was run."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"(?P<label>.+)-s(?P<seed>\d+)-[0-9a-f]{8}")


class Named(NamedTuple):
    """What a folder's name says."""

    label: str
    seed: int


def folder_name(label: str, seed: int, digest: str) -> str:
    """The name for a digest of eight hexadecimal digits."""
    return f"{label}-s{seed}-{digest}"


def read_name(name: str) -> Named | None:
    """Label and seed of a trial's folder; None for another folder."""
    found = _NAME.fullmatch(name)
    return Named(found["label"], int(found["seed"])) if found else None
