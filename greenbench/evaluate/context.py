"""What every task reads: the utterances that were chosen, their frozen frames, and who is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from greenbench.evaluate.representation import Featurize, Frames, Waveforms, extract, silent
from greenbench.models.base import Upstream
from greenbench.progress import Progress
from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

HELD_OUT_SHARE = 0.1
ALL_LABELS = "all"


class TaskLeftOut(Exception):
    """A task that the corpus' labels do not allow; the message is the reason."""


@dataclass
class TaskResult:
    """Metrics by registry name and whatever else explains them."""

    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Side:
    """One split: its utterances, its audio and the frames extracted so far."""

    utterances: Sequence[Utterance]
    store: Waveforms
    cache: dict[tuple[int, ...], Frames] = field(default_factory=dict, repr=False)


@dataclass
class Context:
    """A model, a labelled corpus and how to evaluate: shared by the tasks of one evaluation."""

    model: Upstream
    train: Side
    test: Side
    featurize: Featurize
    seed: int
    device: torch.device
    max_train_seconds: float
    max_test_seconds: float
    labels: str = ""
    heads: tuple[str, ...] = ("linear",)
    ctc_beam: int = 1
    progress: Progress = silent

    def choose(self, side: Side, keep: Callable[[Utterance], bool], *, sentences: bool = False) -> list[int]:
        """The utterances of a split that satisfy ``keep``, cut at the split's maximum of seconds.

        The cut takes utterances in an order given by a hash of their id, the same for every model and seed. Where the
        suite names a set of labelled ``sentences``, tasks on these train on that set, and it is not cut.
        """
        limit = self.max_train_seconds if side is self.train else self.max_test_seconds
        if sentences and side is self.train and self.labels:
            whole = self.labels == ALL_LABELS
            return [i for i, u in enumerate(side.utterances) if keep(u) and (whole or self.labels in u.label_sets)]
        candidates = sorted(
            (i for i, u in enumerate(side.utterances) if keep(u)), key=lambda i: stable_hash(side.utterances[i].id)
        )
        chosen: list[int] = []
        seconds = 0.0
        for index in candidates:
            seconds += len(side.store.waveform(index)) / SAMPLE_RATE
            if chosen and seconds > limit:
                break
            chosen.append(index)
        return sorted(chosen)

    def frames(self, side: Side, indices: Sequence[int]) -> Frames:
        """The frozen frames of some utterances, extracted on first use."""
        key = tuple(indices)
        if key not in side.cache:
            side.cache[key] = extract(
                self.model, side.store, indices, self.featurize, device=self.device, progress=self.progress
            )
        return side.cache[key]


def held_out(utterances: Sequence[Utterance]) -> np.ndarray:
    """Mark about a tenth of training utterances, whole speakers where there are at least three, (U,) bool.

    Whatever a probe has to choose is chosen on these, never on the test split.
    """
    names = [u.speaker or "" for u in utterances]
    speakers = sorted(set(names), key=stable_hash)
    wanted = max(1.0, HELD_OUT_SHARE * len(utterances))
    if len(speakers) >= 3:
        taken: set[str] = set()
        for speaker in speakers[:-2]:
            if sum(name in taken for name in names) >= wanted:
                break
            taken.add(speaker)
        return np.array([name in taken for name in names], dtype=bool)
    order = sorted(range(len(utterances)), key=lambda i: stable_hash(utterances[i].id))
    mask = np.zeros(len(utterances), dtype=bool)
    if len(utterances) > 1:
        mask[order[: round(wanted)]] = True
    return mask


def stable_hash(text: str) -> str:
    """A hash that is the same in every process: an arbitrary but fixed order."""
    return hashlib.sha256(text.encode()).hexdigest()
