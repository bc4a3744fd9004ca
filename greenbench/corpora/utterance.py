"""One stretch of speech and what is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from greenbench.units import SAMPLE_RATE

Phones = tuple[tuple[str, float, float], ...]
"""Phone, begin and end in seconds from the utterance's begin."""


@dataclass(frozen=True)
class Utterance:
    """A stretch of an audio file. ``offset`` and ``num_samples`` count samples at the file's own ``sample_rate``.

    ``split`` is ``pretrain`` (no label is used), ``train`` or ``test``; ``speaker_split`` is the split for tasks that
    must hear every speaker in training. ``speaker`` is unique within the corpus. Absent labels are None.
    """

    id: str
    path: str
    offset: int
    num_samples: int
    sample_rate: int = SAMPLE_RATE
    split: str = "pretrain"
    speaker: str | None = None
    language: str | None = None
    text: str | None = None
    phones: Phones | None = None
    keyword: str | None = None
    task: str = "speech"
    speaker_split: str | None = None
    channels: int = 1

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def num_samples_16k(self) -> int:
        """Return the number of samples after resampling to 16 kHz."""
        return self.num_samples * SAMPLE_RATE // self.sample_rate


@dataclass(frozen=True)
class LeftOut:
    """A file (or a stretch of one) that cannot be used, and why."""

    path: str
    reason: str


def fingerprint(utterances: Iterable[Utterance], *, content: bool = False) -> str:
    """Return a hash over ids and lengths, independent of order and of where the files lie: 16 hexadecimal digits.

    Two machines with the same fingerprint trained on the same recordings, as far as names and lengths can tell;
    ``content=True`` reads every file and hashes its bytes too.
    """
    utterances = list(utterances)
    hashes = {path: _content_hash(path) for path in {u.path for u in utterances}} if content else {}
    hasher = hashlib.sha256()
    for line in sorted({f"{u.id}\t{u.num_samples}\t{u.sample_rate}{hashes.get(u.path, '')}\n" for u in utterances}):
        hasher.update(line.encode())
    return hasher.hexdigest()[:16]


def _content_hash(path: str) -> str:
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return "\t" + hasher.hexdigest()
