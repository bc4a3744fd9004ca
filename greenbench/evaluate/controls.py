"""Shuffled labels: a probe that does better than chance on them reads something other than the representation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from greenbench.evaluate.alignment import SILENCE

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance


class ShuffledCorpus:
    """A labelled corpus whose training labels are dealt out anew; audio and test labels stay as they are.

    Words, languages, speakers and keywords change places between utterances; phones change places between the
    segments of all utterances, so that each keeps its times and the whole its frequencies. What no segment covers is
    silence and takes part, or a probe would go on learning it.
    """

    def __init__(self, splits: dict[str, Sequence[Utterance]], *, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._splits = {name: tuple(part) for name, part in splits.items()}
        self._splits["train"] = _shuffled(self._splits["train"], rng)

    def split(self, name: str) -> tuple[Utterance, ...]:
        """The utterances of a split."""
        return self._splits[name]


def _shuffled(utterances: Sequence[Utterance], rng: np.random.Generator) -> tuple[Utterance, ...]:
    result = list(utterances)
    for task in sorted({u.task for u in utterances}):
        places = [i for i, u in enumerate(utterances) if u.task == task]
        for key in ("text", "language", "speaker", "keyword"):
            order = rng.permutation(places)
            for place, source in zip(places, order, strict=True):
                result[place] = replace(result[place], **{key: getattr(utterances[source], key)})
    segments = [_covered(u) for u in utterances]
    labels = [label for part in segments for label, _, _ in part]
    dealt = iter([labels[i] for i in rng.permutation(len(labels))])
    for place, part in enumerate(segments):
        if part:
            result[place] = replace(result[place], phones=tuple((next(dealt), start, end) for _, start, end in part))
    return tuple(result)


def _covered(utterance: Utterance) -> list[tuple[str, float, float]]:
    """An utterance's segments with silence in the gaps; nothing without alignments."""
    found: list[tuple[str, float, float]] = []
    at = 0.0
    for label, start, end in utterance.phones or ():
        if start > at:
            found.append((SILENCE, at, start))
        found.append((label, start, end))
        at = max(at, end)
    if found and utterance.duration_s > at:
        found.append((SILENCE, at, utterance.duration_s))
    return found
