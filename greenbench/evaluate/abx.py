"""ABX phone discrimination: is X nearer to A (the same phone) than to B (another phone), all by one speaker?

Tokens are the phones of the test alignments in any context. Distances are dynamic time warping over angular distances
between frames, divided by the length of the warping path. Scores are averaged over tokens, then speakers, then phone
pairs, so that frequent phones do not decide. 50 % is chance, lower is better.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from greenbench.evaluate.alignment import SILENCE
from greenbench.evaluate.context import Context, TaskLeftOut, TaskResult, stable_hash
from greenbench.evaluate.label_free import best_layer
from greenbench.evaluate.phones import AlignedSplit

MAX_TOKENS_PER_PHONE = 6
MAX_FRAMES = 15
_PAIRS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Token:
    """One phone said once: frames ``begin``..``end`` of the split."""

    phone: str
    speaker: str
    begin: int
    end: int


def tokens(split: AlignedSplit) -> list[Token]:
    """The test tokens, at most :data:`MAX_TOKENS_PER_PHONE` of each phone and speaker, chosen by a hash."""
    groups: dict[tuple[str, str], list[tuple[str, Token]]] = defaultdict(list)
    for number, utterance in enumerate(split.utterances):
        first, last = int(split.frames.offsets[number]), int(split.frames.offsets[number + 1])
        for position, (phone, start_s, end_s) in enumerate(utterance.phones or ()):
            begin, end = first + round(start_s * 50), first + round(end_s * 50)
            end = min(max(end, begin + 1), last, begin + MAX_FRAMES)
            if phone == SILENCE or begin >= end:
                continue
            speaker = utterance.speaker or "unknown"
            token = Token(phone, speaker, begin, end)
            groups[speaker, phone].append((stable_hash(f"{utterance.id}/{position}"), token))
    kept: list[Token] = []
    for _, members in sorted(groups.items()):
        kept += [token for _, token in sorted(members, key=lambda m: m[0])[:MAX_TOKENS_PER_PHONE]]
    return kept


def angular_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The angle between all rows of (N, D) and (M, D), in 0..1 (1: opposite), (N, M)."""

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    cosines = unit(first.astype(np.float32)) @ unit(second.astype(np.float32)).T
    return np.arccos(np.clip(cosines, -1.0, 1.0)) / np.pi


def warped_distances(frames: np.ndarray, spans: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The normalised warping distance of pairs of tokens, (P,).

    ``frames`` is (N, N) frame distances, ``spans`` (K, 2) each token's begin and end, ``pairs`` (P, 2) token numbers.
    All pairs go through the recursion together. Ties prefer the diagonal, then the second token's step.
    """
    result = np.zeros(len(pairs), dtype=np.float32)
    lengths = spans[:, 1] - spans[:, 0]
    shape = lengths[pairs[:, 0]] * (MAX_FRAMES + 1) + lengths[pairs[:, 1]]
    for code in np.unique(shape):
        members = np.flatnonzero(shape == code)
        rows, columns = divmod(int(code), MAX_FRAMES + 1)
        for begin in range(0, len(members), _PAIRS_AT_ONCE):
            part = members[begin : begin + _PAIRS_AT_ONCE]
            first, second = spans[pairs[part, 0], 0], spans[pairs[part, 1], 0]
            result[part] = _warp(frames, first, second, rows, columns)
    return result


def _warp(frames: np.ndarray, first: np.ndarray, second: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Warp pairs of equal shape: tokens of ``rows`` frames from ``first`` on against ``columns`` from ``second`` on."""
    cost = np.empty((rows, columns, len(first)), dtype=np.float32)
    steps = np.empty((rows, columns, len(first)), dtype=np.float32)
    for i in range(rows):
        for j in range(columns):
            here = frames[first + i, second + j]
            if i == 0 or j == 0:
                before = cost[i - 1, 0] if i else cost[0, j - 1] if j else 0.0
                cost[i, j], steps[i, j] = here + before, i + j + 1
                continue
            diagonal, left, up = cost[i - 1, j - 1], cost[i, j - 1], cost[i - 1, j]
            side = np.where(left <= up, left, up)
            straight = diagonal <= side
            cost[i, j] = here + np.where(straight, diagonal, side)
            turned = np.where(left <= up, steps[i, j - 1], steps[i - 1, j])
            steps[i, j] = 1 + np.where(straight, steps[i - 1, j - 1], turned)
    return cost[-1, -1] / steps[-1, -1]


def speaker_scores(distances: np.ndarray, phones: np.ndarray) -> dict[tuple[int, int], float]:
    """The share of (A, B, X) with d(A, X) < d(B, X) for each ordered pair of phones, ties counting half.

    ``distances`` (K, K) between one speaker's tokens, ``phones`` (K,) their phone numbers.
    """
    members = {int(p): np.flatnonzero(phones == p) for p in np.unique(phones)}
    scores = {}
    for a, same in members.items():
        if len(same) < 2:
            continue
        to_same = distances[np.ix_(same, same)]
        off_diagonal = ~np.eye(len(same), dtype=bool)
        for b, other in members.items():
            if a == b:
                continue
            # (A, X, B): d(A, X) against d(B, X)
            near, far = to_same[:, :, None], distances[np.ix_(same, other)][None]
            right = (near < far) + 0.5 * (near == far)
            scores[a, b] = float(right[off_diagonal].mean())
    return scores


def abx_error_pct(layer: np.ndarray, found: list[Token]) -> tuple[float, int]:
    """The ABX error in percent of one layer (N, D) for some tokens, and the number of phone pairs."""
    names = sorted({t.phone for t in found})
    number = {name: i for i, name in enumerate(names)}
    by_speaker: dict[str, list[Token]] = defaultdict(list)
    for token in found:
        by_speaker[token.speaker].append(token)
    scores: dict[tuple[int, int], list[float]] = defaultdict(list)
    for _, own in sorted(by_speaker.items()):
        rows = np.concatenate([np.arange(t.begin, t.end) for t in own])
        ends = np.cumsum([t.end - t.begin for t in own])
        spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
        between = angular_distances(layer[rows], layer[rows])
        first, second = np.triu_indices(len(own), 1)
        distances = np.zeros((len(own), len(own)), dtype=np.float32)
        distances[first, second] = warped_distances(between, spans, np.stack([first, second], axis=1))
        distances += distances.T
        for pair, score in speaker_scores(distances, np.array([number[t.phone] for t in own])).items():
            scores[pair].append(score)
    if not scores:
        raise TaskLeftOut("no speaker of the test split says a phone twice")
    return 100.0 * (1.0 - float(np.mean([np.mean(s) for s in scores.values()]))), len(scores)


def abx(context: Context) -> TaskResult:
    """Score ABX on the layer whose units fit the training phones best; the test split chooses nothing."""
    layer, _, test = best_layer(context)
    found = tokens(test)
    error, pairs = abx_error_pct(test.frames.layers[layer], found)
    return TaskResult({"abx_error_pct": error}, {"layer": layer, "tokens": len(found), "phone_pairs": pairs})
