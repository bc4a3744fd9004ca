"""CTC prefix beam search without a language model: the most probable text, summed over its alignments."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

_LEAST_LOG_PROBABILITY = math.log(1e-4)
"""Symbols less probable than this in a frame extend no prefix: they cost time and win nothing."""


def prefix_beam(log_probabilities: np.ndarray, width: int, *, blank: int = 0) -> list[int]:
    """The most probable label sequence under CTC, from log P (T, C), keeping ``width`` prefixes a frame.

    Algorithm: Hannun et al. 2014, arXiv 1408.2873, without the language model. A prefix' probability is kept apart for
    alignments that end in a blank and in its last symbol. Exact where ``width`` is never reached.
    """
    if width < 1:
        raise ValueError(f"width = {width} must be 1 or more")
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for frame in log_probabilities.astype(np.float64):
        symbols = [int(s) for s in np.flatnonzero(frame > _LEAST_LOG_PROBABILITY) if s != blank]
        grown: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for prefix, (in_blank, in_symbol) in beam.items():
            whole = _add(in_blank, in_symbol)
            stays = grown[prefix]
            stays[0] = _add(stays[0], whole + frame[blank])
            if prefix:
                stays[1] = _add(stays[1], in_symbol + frame[prefix[-1]])
            for symbol in symbols:
                # The same symbol again is a new one only after a blank.
                before = in_blank if prefix and prefix[-1] == symbol else whole
                longer = grown[(*prefix, symbol)]
                longer[1] = _add(longer[1], before + frame[symbol])
        best = sorted(grown.items(), key=lambda item: _add(*item[1]), reverse=True)[:width]
        beam = {prefix: (scores[0], scores[1]) for prefix, scores in best}
    return list(max(beam.items(), key=lambda item: _add(*item[1]))[0])


def _add(first: float, second: float) -> float:
    """Log(exp(first) + exp(second))."""
    high, low = (first, second) if first >= second else (second, first)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
