"""Languages balanced by temperature: which utterances an epoch draws, and how often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def language_weights(languages: Sequence[str], num_samples: np.ndarray, alpha: float) -> np.ndarray:
    """Each utterance's weight (N,), mean 1, that gives language shares p ** alpha of the audio drawn."""
    names, member = np.unique(np.asarray(languages), return_inverse=True)
    shares = np.bincount(member, weights=np.asarray(num_samples, dtype=np.float64), minlength=len(names))
    shares = np.divide(shares, shares.sum())
    wanted = shares**alpha
    weights: np.ndarray = np.divide(wanted / wanted.sum(), shares)[member]
    weights /= weights.mean()
    return weights


def balanced_epoch(
    languages: Sequence[str], num_samples: np.ndarray, alpha: float, random: np.random.Generator
) -> np.ndarray:
    """Utterance indices (N,) of one epoch, drawn so that languages have their balanced shares.

    Systematic sampling: utterance i occurs floor(w_i) or ceil(w_i) times, so that rare ones are not left to chance.
    """
    weights = language_weights(languages, num_samples, alpha)
    # Languages side by side, each in random order: then their shares hold to an utterance.
    order: np.ndarray = random.permutation(len(weights))
    order = order[np.argsort(np.asarray(languages)[order], kind="stable")]
    edges = np.concatenate([[0.0], np.cumsum(weights[order])])
    picks = np.arange(len(weights)) + random.random()
    found = np.searchsorted(edges, picks * edges[-1] / len(weights), side="right") - 1
    drawn: np.ndarray = order[np.minimum(found, len(weights) - 1)]
    return drawn
