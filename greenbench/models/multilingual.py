"""Multilingual pretraining: the same objectives on languages balanced by temperature.

A language with the share p of the audio is drawn with a probability in proportion to p ** alpha: 1 keeps the corpus
as it is, 0 gives every language the same. The trial's sampler reads ``language_alpha`` of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greenbench.models.hubert import Hubert
from greenbench.models.wav2vec2 import Wav2Vec2
from greenbench.models.waveform import takes_options_of


class MHubert(Hubert):
    """HuBERT on balanced languages (mHuBERT-147, arXiv 2406.06371)."""

    @takes_options_of(Hubert.__init__)
    def __init__(self, *, language_alpha: float = 0.7, **options: Any) -> None:
        super().__init__(**options)
        self.language_alpha = _checked(language_alpha)

    def export_config(self) -> dict[str, Any]:
        """Return the balance for the manifest."""
        return {**super().export_config(), "language_alpha": self.language_alpha}


class Xlsr(Wav2Vec2):
    """wav2vec 2.0 on balanced languages (XLS-R, arXiv 2111.09296)."""

    @takes_options_of(Wav2Vec2.__init__)
    def __init__(self, *, language_alpha: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.language_alpha = _checked(language_alpha)

    def export_config(self) -> dict[str, Any]:
        """Return the balance for the manifest."""
        return {**super().export_config(), "language_alpha": self.language_alpha}


def language_weights(languages: Sequence[str], num_samples: np.ndarray, alpha: float) -> np.ndarray:
    """Return each utterance's weight (N,), mean 1, that gives language shares p ** alpha of the audio drawn."""
    names, member = np.unique(np.asarray(languages), return_inverse=True)
    shares = np.bincount(member, weights=np.asarray(num_samples, dtype=np.float64), minlength=len(names))
    shares = np.divide(shares, shares.sum())
    wanted = shares**alpha
    weights = np.divide(wanted / wanted.sum(), shares)[member]
    return weights / weights.mean()


def balanced_epoch(
    languages: Sequence[str], num_samples: np.ndarray, alpha: float, random: np.random.Generator
) -> np.ndarray:
    """Return utterance indices (N,) of one epoch, drawn so that languages have their balanced shares.

    Systematic sampling: utterance i occurs floor(w_i) or ceil(w_i) times, so that rare ones are not left to chance.
    """
    weights = language_weights(languages, num_samples, alpha)
    # Languages side by side, each in random order: then their shares hold to an utterance.
    order = random.permutation(len(weights))
    order = order[np.argsort(np.asarray(languages)[order], kind="stable")]
    edges = np.concatenate([[0.0], np.cumsum(weights[order])])
    picks = np.arange(len(weights)) + random.random()
    found = np.searchsorted(edges, picks * edges[-1] / len(weights), side="right") - 1
    return order[np.minimum(found, len(weights) - 1)]


def _checked(alpha: float) -> float:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"language_alpha = {alpha} must lie between 0 (all languages alike) and 1 (as in the corpus)")
    return alpha
