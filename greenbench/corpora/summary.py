"""The summary of a corpus that is shown before anything is trained."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.units import SAMPLE_RATE, hours

_LENGTH_EDGES_S = (0, 1, 2, 4, 8, 16, 32, float("inf"))


def summarise(corpus: Corpus) -> dict[str, Any]:
    """The summary as plain data; hours are of audio, lengths in seconds."""
    utterances = corpus.utterances
    return {
        "name": corpus.name,
        "data": corpus.spec,
        "fingerprint": corpus.fingerprint,
        "files": len({u.path for u in utterances}),
        "utterances": len(utterances),
        "hours": _hours(utterances),
        "splits": {name: _split(items) for name, items in corpus.splits.items()},
        "speakers": len({u.speaker for u in utterances if u.speaker}),
        "languages": _counts(u.language for u in utterances),
        "sample_rates": _counts(u.sample_rate for u in utterances),
        "channels": _counts(u.channels for u in utterances),
        "resampled_hours": _hours([u for u in utterances if u.sample_rate != SAMPLE_RATE]),
        "lengths_s": _lengths(utterances),
        "labels": {
            name: sum(getattr(u, name) is not None for u in utterances)
            for name in ("text", "phones", "keyword", "speaker", "language")
        },
        "left_out": [{"path": item.path, "reason": item.reason} for item in corpus.left_out],
        "notes": list(corpus.notes),
        **corpus.extra,
    }


def _hours(utterances: tuple[Utterance, ...] | list[Utterance]) -> float:
    return round(hours(sum(u.duration_s for u in utterances)), 4)


def _split(utterances: tuple[Utterance, ...]) -> dict[str, Any]:
    return {
        "utterances": len(utterances),
        "hours": _hours(utterances),
        "speakers": len({u.speaker for u in utterances if u.speaker}),
    }


def _counts(values: Any) -> dict[str, int]:
    return {str(value): number for value, number in Counter(values).most_common() if value is not None}


def _lengths(utterances: tuple[Utterance, ...]) -> dict[str, Any]:
    lengths = np.array([u.duration_s for u in utterances])
    histogram = np.histogram(lengths, bins=_LENGTH_EDGES_S)[0]
    names = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(_LENGTH_EDGES_S)]
    return {
        "min": round(float(lengths.min()), 3),
        "median": round(float(np.median(lengths)), 3),
        "max": round(float(lengths.max()), 3),
        "histogram": dict(zip(names, histogram.tolist(), strict=True)),
    }
