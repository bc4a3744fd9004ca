"""Multilingual pretraining: the same objectives on languages balanced by temperature.

A language with the share p of the audio is drawn with a probability in proportion to p ** alpha: 1 keeps the corpus
as it is, 0 gives every language the same. The batch loader does so (:mod:`greenbench.batches.balance`)
when the model has a ``language_alpha``.
"""

from __future__ import annotations

from typing import Any

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


def _checked(alpha: float) -> float:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"language_alpha = {alpha} must lie between 0 (all languages alike) and 1 (as in the corpus)")
    return alpha
