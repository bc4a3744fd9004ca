"""Slow, obvious second implementations of what evaluation computes fast."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np


def edit_distance(reference: list, hypothesis: list) -> int:
    table = [[0] * (len(hypothesis) + 1) for _ in range(len(reference) + 1)]
    for i in range(len(reference) + 1):
        for j in range(len(hypothesis) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
            else:
                same = reference[i - 1] == hypothesis[j - 1]
                table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (not same))
    return table[-1][-1]


def best_path_score(scores: np.ndarray, transitions: np.ndarray) -> float:
    """The best score over every possible path, by trying them all."""
    frames, labels = scores.shape
    return max(path_score(scores, transitions, path) for path in itertools.product(range(labels), repeat=frames))


def path_score(scores: np.ndarray, transitions: np.ndarray, path: tuple[int, ...]) -> float:
    emitted = sum(float(scores[t, label]) for t, label in enumerate(path))
    return emitted + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))


def pnmi(units: list[int], phones: list[int]) -> float:
    def entropy(items: list) -> float:
        counts = Counter(items)
        return -sum(n / len(items) * math.log(n / len(items)) for n in counts.values())

    given_unit = 0.0
    for unit, count in Counter(units).items():
        given_unit += count / len(units) * entropy([p for u, p in zip(units, phones, strict=True) if u == unit])
    return 1 - given_unit / entropy(phones)


def effective_rank(embedding: np.ndarray) -> float:
    values = np.linalg.svd(embedding - embedding.mean(axis=0), compute_uv=False)
    shares = [v / values.sum() for v in values if v > 0]
    return math.exp(-sum(s * math.log(s) for s in shares))


def warping_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Dynamic time warping over angles, divided by the length of the path found by walking back from the end."""
    rows, columns = len(first), len(second)
    angle = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            cosine = first[i] @ second[j] / (np.linalg.norm(first[i]) * np.linalg.norm(second[j]))
            angle[i, j] = math.acos(max(-1.0, min(1.0, float(cosine)))) / math.pi
    cost = np.full((rows, columns), np.inf)
    for i in range(rows):
        for j in range(columns):
            if i == j == 0:
                cost[i, j] = angle[i, j]
                continue
            before = [cost[a, b] for a, b in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if a >= 0 and b >= 0]
            cost[i, j] = angle[i, j] + min(before)
    i, j, length = rows - 1, columns - 1, 1
    while i or j:
        steps = [(a, b) for a, b in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if a >= 0 and b >= 0]
        i, j = min(steps, key=lambda at: cost[at])
        length += 1
    return cost[-1, -1] / length


def abx_error_pct(tokens: list[tuple[str, str, np.ndarray]]) -> float:
    """(phone, speaker, frames) tokens to the ABX error: average over triples, then speakers, then phone pairs."""
    by_pair: dict[tuple[str, str], dict[str, list[float]]] = {}
    for a, b, x in itertools.product(range(len(tokens)), repeat=3):
        phone_a, speaker, frames_a = tokens[a]
        phone_b, speaker_b, frames_b = tokens[b]
        phone_x, speaker_x, frames_x = tokens[x]
        if a == x or phone_a != phone_x or phone_a == phone_b or not speaker == speaker_b == speaker_x:
            continue
        near, far = warping_distance(frames_a, frames_x), warping_distance(frames_b, frames_x)
        score = 0.5 if abs(near - far) < 1e-7 else float(near < far)
        by_pair.setdefault((phone_a, phone_b), {}).setdefault(speaker, []).append(score)
    means = [np.mean([np.mean(s) for s in speakers.values()]) for speakers in by_pair.values()]
    return 100 * (1 - float(np.mean(means)))
