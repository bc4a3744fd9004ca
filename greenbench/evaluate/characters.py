"""Character recognition from text without alignments: CTC, character and word error rate (CER, WER)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.evaluate.alignment import collapse
from greenbench.evaluate.context import Context, Side, TaskLeftOut, TaskResult, held_out
from greenbench.evaluate.linear import Standardised
from greenbench.evaluate.recurrent import build_head
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average
from greenbench.evaluate.sequence import SequenceSchedule, ctc_loss, log_probabilities, train_head

if TYPE_CHECKING:
    from greenbench.data.corpus import Utterance
    from greenbench.evaluate.representation import Frames

BLANK = 0
STACK = 2
"""Frames of 20 ms side by side in one step of the head: 25 steps a second."""
SCHEDULE = SequenceSchedule(epochs=36, batch=16, learning_rate=5e-3)


def normalise_text(text: str) -> str:
    """Return lower-case letters, digits and apostrophes with single spaces: what is scored as characters."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'")
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join("".join(kept).split())


class Alphabet:
    """Characters of the training texts; number 0 is CTC's blank."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.characters = tuple(sorted({c for text in texts for c in text}))
        self._index = {c: i + 1 for i, c in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's characters; unknown ones are left out."""
        return [self._index[c] for c in text if c in self._index]

    def decode(self, numbers: Sequence[int]) -> str:
        """Return the text of some numbers, blanks left out."""
        return "".join(self.characters[n - 1] for n in numbers if n != BLANK)


def greedy(log_probabilities: np.ndarray, alphabet: Alphabet) -> str:
    """Return the best path's text: repeats joined, blanks dropped, spaces single."""
    text = alphabet.decode(collapse(log_probabilities.argmax(axis=1), silence=BLANK))
    return " ".join(text.split())


def characters(context: Context) -> TaskResult:
    """Score character recognition by CTC and greedy decoding without a language model.

    The head is recurrent whatever ``heads`` says: with minutes of text a linear CTC head stays near 80 % for any
    representation and ranks nothing.
    """
    train_texts, train, train_frames = _texts(context, context.train)
    test_texts, test, test_frames = _texts(context, context.test)
    alphabet = Alphabet(train_texts)
    encoded = [alphabet.encode(text) for text in train_texts]
    out = held_out(train)
    fits = np.array([0 < _needed(e) <= n // STACK for e, n in zip(encoded, np.diff(train_frames.offsets), strict=True)])
    fitting, choosing = np.flatnonzero(~out & fits).tolist(), np.flatnonzero(out & fits).tolist()
    if not fitting:
        raise TaskLeftOut("every training text is longer than its audio has frames")
    data = Standardised.fit(train_frames.layers, train_frames.rows(fitting))
    head = build_head(train_frames.num_layers, train_frames.width, len(alphabet), context.seed, SCHEDULE, stack=STACK)
    epoch = train_head(
        head, data, train_frames, ctc_loss(encoded), fitting=fitting, choosing=choosing or fitting,
        schedule=SCHEDULE, seed=context.seed, progress=context.progress,
    )  # fmt: skip
    found = log_probabilities(head, data.with_layers(test_frames.layers), test_frames)
    hypotheses = [greedy(piece, alphabet) for piece in found]
    metrics, details = score_texts(test_texts, hypotheses, [u.language or "unknown" for u in test])
    details |= {
        "alphabet": len(alphabet) - 1,
        "train_utterances": len(fitting) + len(choosing),
        "test_utterances": len(test),
        "train_s": round(train_frames.seconds, 1),
        "test_s": round(test_frames.seconds, 1),
        "too_long_for_ctc": int((~fits).sum()),
        "layer_weights": head.layer_weights,
        "head": "bidirectional GRU",
        "best_epoch": epoch,
    }
    return TaskResult(metrics, details)


def score_texts(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return CER and WER in percent, and both per language with the macro average."""
    words = [r.split() for r in references], [h.split() for h in hypotheses]
    cer_by_language = grouped_error_pct(references, hypotheses, languages)
    wer_by_language = grouped_error_pct(words[0], words[1], languages)
    metrics = {
        "characters_cer_pct": error_rate(references, hypotheses).pct,
        "characters_wer_pct": error_rate(words[0], words[1]).pct,
    }
    return metrics, {
        "cer_by_language_pct": cer_by_language,
        "wer_by_language_pct": wer_by_language,
        "cer_macro_pct": macro_average(cer_by_language),
        "wer_macro_pct": macro_average(wer_by_language),
        "examples": [[r, h] for r, h in list(zip(references, hypotheses, strict=True))[:3]],
    }


def _texts(context: Context, side: Side) -> tuple[list[str], list[Utterance], Frames]:
    chosen = context.choose(side, lambda u: u.task == "speech" and bool(normalise_text(u.text or "")))
    if len(chosen) < 2:
        split = "train" if side is context.train else "test"
        raise TaskLeftOut(f"the corpus has no texts in its {split} split")
    utterances = [side.utterances[i] for i in chosen]
    return [normalise_text(u.text or "") for u in utterances], utterances, context.frames(side, chosen)


def _needed(symbols: Sequence[int]) -> int:
    """Return how many frames CTC needs: one a symbol and a blank between equal neighbours."""
    return len(symbols) + sum(a == b for a, b in pairwise(symbols))
