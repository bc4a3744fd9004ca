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

    ``split`` is ``pretrain`` (no label is used), ``train``, ``valid`` or ``test``; ``speaker_split`` is the split for
    tasks that must hear every speaker in training. ``label_sets`` names the limited sets of labels it belongs to, such
    as ``10min``. ``speaker`` is unique within the corpus. Absent labels are None. ``channel`` is one of the file's
    ``channels``, counted from 0; None averages them. ``gain`` brings the samples to [-1, 1].
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
    channel: int | None = None
    gain: float = 1.0
    label_sets: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """The length in seconds."""
        return self.num_samples / self.sample_rate

    @property
    def num_samples_16k(self) -> int:
        """The number of samples after resampling to 16 kHz."""
        return self.num_samples * SAMPLE_RATE // self.sample_rate


@dataclass(frozen=True)
class LeftOut:
    """A file (or a stretch of one) that cannot be used, and why."""

    path: str
    reason: str


def fingerprint(utterances: Iterable[Utterance], *, content: bool = False) -> str:
    """A hash over ids and lengths, independent of order and of where the files lie: 16 hexadecimal digits.

    Two machines with the same fingerprint trained on the same recordings, as far as names and lengths can tell;
    ``content=True`` reads every file and hashes its bytes too.
    """
    utterances = list(utterances)
    hashes = {path: _content_hash(path) for path in {u.path for u in utterances}} if content else {}
    hasher = hashlib.sha256()
    for line in sorted({_line(u, hashes.get(u.path, "")) for u in utterances}):
        hasher.update(line.encode())
    return hasher.hexdigest()[:16]


def _line(utterance: Utterance, content: str) -> str:
    channel = "" if utterance.channel is None else f"\tchannel {utterance.channel}"
    return f"{utterance.id}\t{utterance.num_samples}\t{utterance.sample_rate}{channel}{content}\n"


def _content_hash(path: str) -> str:
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return "\t" + hasher.hexdigest()
