"""Shuffled labels: a probe that does better than chance on them reads something other than the representation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from greenbench.data.corpus import Utterance


class ShuffledCorpus:
    """A labelled corpus whose training labels are dealt out anew; audio and test labels stay as they are.

    Words, languages, speakers and keywords change places between utterances; phones change places between the
    segments of all utterances, so that each keeps its times and the whole its frequencies.
    """

    def __init__(self, splits: dict[str, Sequence[Utterance]], *, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._splits = {name: tuple(part) for name, part in splits.items()}
        self._splits["train"] = _shuffled(self._splits["train"], rng)

    def split(self, name: str) -> tuple[Utterance, ...]:
        """Return the utterances of a split."""
        return self._splits[name]


def _shuffled(utterances: Sequence[Utterance], rng: np.random.Generator) -> tuple[Utterance, ...]:
    result = list(utterances)
    for task in sorted({u.task for u in utterances}):
        places = [i for i, u in enumerate(utterances) if u.task == task]
        for key in ("text", "language", "speaker", "keyword"):
            order = rng.permutation(places)
            for place, source in zip(places, order, strict=True):
                result[place] = replace(result[place], **{key: getattr(utterances[source], key)})
    labels = [label for u in utterances for label, _, _ in u.phones or ()]
    dealt = iter([labels[i] for i in rng.permutation(len(labels))])
    for place, u in enumerate(result):
        if u.phones:
            result[place] = replace(u, phones=tuple((next(dealt), start, end) for _, start, end in u.phones))
    return tuple(result)
