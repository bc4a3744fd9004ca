"""A second, independent aligner to check the first with: the acoustic model of the Penn Phonetics Lab Forced Aligner.

Yuan and Liberman, Speaker identification on the SCOTUS corpus, Acoustics 2008: 32 Gaussians a state, three states a
phone, trained on US Supreme Court sessions. It shares neither training data nor features nor decoder with
pocketsphinx. The wheel of ``pyfoal`` carries the model (``pyfoal/assets/p2fa/hmmdefs``); HTK, which it was made for,
is not needed: features are those of :mod:`plp`, and the best path is found here. The phones are given, as the first
aligner chose them; only their times and the pauses between words are sought.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from scipy.special import logsumexp

from .plp import HOP, SAMPLE_RATE, WINDOW, plp

SILENCE = "sil"
_SHORT_PAUSE = "sp"
_FRAME_S = HOP / SAMPLE_RATE
_CENTRE_S = (WINDOW - HOP) / 2 / SAMPLE_RATE
"""A frame stands for the stretch around its window's centre: the boundary before it lies this much after its begin."""

Segment = tuple[str, float, float]


@dataclass(frozen=True)
class State:
    """An emitting state: weights (M,), means and variances (M, D), and the probability to stay."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    stay: float = 0.0


def read_model(path: Path) -> dict[str, list[State]]:
    """Read HTK's text form of the model: the states of each phone, of ``sil`` and of ``sp``."""
    words = iter(path.read_text(encoding="ascii").split())
    shared: dict[str, State] = {}
    model: dict[str, list[State]] = {}
    kind = name = ""
    states: list[State] = []
    for word in words:
        if word in ("~s", "~h"):
            label = next(words).strip('"')
            if word == "~s" and kind == "~h":  # inside a model: a state defined above
                states.append(shared[label])
            else:
                kind, name, states = word, label, []
        elif word == "<NUMMIXES>":
            state = _read_state(words, int(next(words)))
            states.append(state)
            if kind == "~s":
                shared[name] = state
        elif word == "<TRANSP>":
            size = int(next(words))
            matrix = np.array([float(next(words)) for _ in range(size * size)]).reshape(size, size)
            model[name] = [State(s.weights, s.means, s.variances, matrix[i, i]) for i, s in enumerate(states, 1)]
        elif word == "<ENDHMM>":
            kind = ""
    return model


def _read_state(words: Iterator[str], mixtures: int) -> State:
    weights: list[float] = []
    means: list[list[float]] = []
    variances: list[list[float]] = []
    while len(variances) < mixtures:
        word = next(words)
        if word == "<MIXTURE>":
            next(words)
            weights.append(float(next(words)))
        elif word in ("<MEAN>", "<VARIANCE>"):
            values = [float(next(words)) for _ in range(int(next(words)))]
            (means if word == "<MEAN>" else variances).append(values)
    return State(np.array(weights), np.array(means), np.array(variances))


class PennAligner:
    """Times for given phones. A phone's likelihood is the mean over its stress variants: stress is not known here."""

    def __init__(self, hmmdefs: Path) -> None:
        self._model = read_model(hmmdefs)

    def align(self, samples: np.ndarray, rate: int, words: Sequence[Sequence[str]]) -> list[Segment]:
        """Return the phones of all words and the pauses between them with their times in seconds.

        ``samples`` (S,) are floats in [-1, 1]; ``words`` are the phones of each word in ARPAbet without stress.
        """
        features = plp(soxr.resample(samples.astype(np.float64), rate, SAMPLE_RATE) * 32768.0)
        units = [SILENCE, *_joined(words, _SHORT_PAUSE), SILENCE]
        scores = {unit: self._scores(unit, features) for unit in set(units)}
        emissions = np.concatenate([scores[unit] for unit in units], axis=1)
        stay = np.concatenate([[s.stay for s in self._variants(unit)[0]] for unit in units])
        owner = np.repeat(np.arange(len(units)), [scores[unit].shape[1] for unit in units])
        optional = np.array([unit in (SILENCE, _SHORT_PAUSE) for unit in units])
        path = best_path(emissions, stay, owner, optional)
        return _segments(owner[path], units, len(samples) / rate)

    def _variants(self, unit: str) -> list[list[State]]:
        return [self._model[name] for name in (unit, f"{unit}0", f"{unit}1", f"{unit}2") if name in self._model]

    def _scores(self, unit: str, features: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of every frame in every state of a phone, (frames, states)."""
        variants = [[_log_likelihood(features, s) for s in states] for states in self._variants(unit)]
        return logsumexp(np.array(variants), axis=0).T - np.log(len(variants))


def _log_likelihood(features: np.ndarray, state: State) -> np.ndarray:
    precision = 1.0 / state.variances
    constant = np.log(state.weights) - 0.5 * np.log(2 * np.pi * state.variances).sum(1)
    distance = features**2 @ precision.T - 2 * features @ (state.means * precision).T
    return logsumexp(constant - 0.5 * (distance + (state.means**2 * precision).sum(1)), axis=1)


def best_path(emissions: np.ndarray, stay: np.ndarray, owner: np.ndarray, optional: np.ndarray) -> np.ndarray:
    """Return the most likely state of each frame, (T,), through a chain of units in which some may be left out.

    ``emissions`` (T, S) are log-likelihoods, ``stay`` (S,) probabilities, ``owner`` (S,) the unit of each state and
    ``optional`` (units,) whether a unit may be left out; no two neighbouring units may be.
    """
    frames, states = emissions.shape
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    skip_from = np.full(states, -1)
    for unit in np.flatnonzero(optional[1:-1]) + 1:
        skip_from[first[unit + 1]] = first[unit] - 1
    log_stay, log_leave = np.log(stay), np.log1p(-stay)
    score = np.full(states, -np.inf)
    starts = [0, first[1]] if optional[0] else [0]
    score[starts] = emissions[0, starts]
    come_from = np.zeros((frames, states), dtype=np.int32)
    here = np.arange(states)
    for t in range(1, frames):
        left = score + log_leave
        skipped = np.where(skip_from < 0, -np.inf, left[skip_from])
        choices = np.stack([score + log_stay, np.append(-np.inf, left[:-1]), skipped])
        best = choices.argmax(axis=0)
        come_from[t] = np.where(best == 0, here, np.where(best == 1, here - 1, skip_from))
        score = choices[best, here] + emissions[t]
    ends = [states - 1, first[-1] - 1] if optional[-1] else [states - 1]
    path = np.empty(frames, dtype=np.int64)
    path[-1] = max(ends, key=lambda s: score[s])
    for t in range(frames - 1, 0, -1):
        path[t - 1] = come_from[t, path[t]]
    return path


def _joined(words: Sequence[Sequence[str]], between: str) -> list[str]:
    joined: list[str] = []
    for word in words:
        joined += [between, *word] if joined else word
    return joined


def _segments(owners: np.ndarray, units: list[str], duration_s: float) -> list[Segment]:
    begins = np.flatnonzero(np.diff(owners, prepend=-1))
    times = [0.0, *(float(b) * _FRAME_S + _CENTRE_S for b in begins[1:]), duration_s]
    names = [SILENCE if units[owners[b]] == _SHORT_PAUSE else units[owners[b]] for b in begins]
    return list(zip(names, times[:-1], times[1:], strict=True))
