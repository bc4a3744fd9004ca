"""Viterbi decoding of frame posteriors into a phone sequence.

Taking each frame's best label inserts many spurious phones. The decoder knows two things about phones, both from the
training alignments: how rare each is (posteriors are divided by priors) and that changing costs (a switch penalty).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greenbench.evaluate.alignment import collapse


@dataclass(frozen=True)
class Transitions:
    """Scores of going from one label to another between frames, (P, P): staying is free, switching costs."""

    scores: np.ndarray

    @classmethod
    def build(cls, bigram_log: np.ndarray, *, penalty: float, bigram_weight: float) -> Transitions:
        """Combine a flat penalty with weighted log bigram probabilities of label changes."""
        scores = bigram_weight * bigram_log - penalty
        np.fill_diagonal(scores, 0.0)
        return cls(scores.astype(np.float32))


def bigram_log_probabilities(labels: Sequence[np.ndarray], count: int, *, smoothing: float = 0.5) -> np.ndarray:
    """Log P(next label | label, a change happens), (P, P), from frame labels; add-``smoothing``."""
    table = np.full((count, count), smoothing)
    for sequence in labels:
        known = sequence[sequence >= 0]
        before, after = known[:-1], known[1:]
        change = before != after
        np.add.at(table, (before[change], after[change]), 1.0)
    np.fill_diagonal(table, 0.0)
    with np.errstate(divide="ignore"):
        log = np.log(table / table.sum(axis=1, keepdims=True))
    np.fill_diagonal(log, 0.0)
    return log


def viterbi(scores: Sequence[np.ndarray], transitions: Transitions, *, group: int = 64) -> list[np.ndarray]:
    """The best label path of each utterance; ``scores`` are (T_u, P) log scores."""
    order = np.argsort([-len(s) for s in scores], kind="stable")
    paths: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(scores)
    for begin in range(0, len(order), group):
        members = order[begin : begin + group]
        for position, path in zip(members, _viterbi([scores[m] for m in members], transitions.scores), strict=True):
            paths[position] = path
    return paths


def decode(scores: Sequence[np.ndarray], transitions: Transitions) -> list[list[int]]:
    """The label sequence of each utterance, repeats joined and silence dropped."""
    return [collapse(path) for path in viterbi(scores, transitions)]


def _viterbi(scores: list[np.ndarray], transitions: np.ndarray) -> list[np.ndarray]:
    """Decode utterances sorted from long to short, side by side."""
    lengths = np.array([len(s) for s in scores])
    longest, labels = int(lengths[0]), transitions.shape[0]
    back = np.zeros((longest, len(scores), labels), dtype=np.int16)
    best = np.stack([s[0] for s in scores]).astype(np.float32)
    final = best.copy()
    into = np.ascontiguousarray(transitions.T)
    for t in range(1, longest):
        alive = int((lengths > t).sum())
        step = best[:alive, None, :] + into[None]
        back[t, :alive] = step.argmax(axis=2)
        best = np.take_along_axis(step, back[t, :alive, :, None].astype(np.int64), axis=2)[..., 0]
        best += np.stack([s[t] for s in scores[:alive]])
        final[:alive] = best
    paths = []
    for row, length in enumerate(lengths):
        path = np.zeros(length, dtype=np.int64)
        path[-1] = int(final[row].argmax())
        for t in range(length - 1, 0, -1):
            path[t - 1] = back[t, row, path[t]]
        paths.append(path)
    return paths
