"""Character recognition from text without alignments: CTC, character and word error rate (CER, WER)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.evaluate.alignment import collapse
from greenbench.evaluate.beam import prefix_beam
from greenbench.evaluate.context import Context, Side, TaskLeftOut, TaskResult, held_out
from greenbench.evaluate.linear import Standardised
from greenbench.evaluate.recurrent import build_head
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average, macro_metric
from greenbench.evaluate.sequence import SequenceSchedule, ctc_loss, log_probabilities, train_head

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance
    from greenbench.evaluate.representation import Frames

BLANK = 0
STACK = 2
"""Frames of 20 ms side by side in one step of the head: 25 steps a second."""
WINDOW = 7
SCHEDULE = SequenceSchedule(epochs=40, batch=16, learning_rate=3e-3)
RECURRENT_SCHEDULE = SequenceSchedule(epochs=36, batch=16, learning_rate=5e-3)


def normalise_text(text: str) -> str:
    """Lower-case letters, digits and apostrophes with single spaces: what is scored as characters."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'")
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join("".join(kept).split())


class Alphabet:
    """Symbols (characters or phones) of the training sequences; number 0 is CTC's blank."""

    def __init__(self, sequences: Sequence[Sequence[str]]) -> None:
        self.symbols = tuple(sorted({symbol for sequence in sequences for symbol in sequence}))
        self._index = {symbol: i + 1 for i, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def encode(self, sequence: Sequence[str]) -> list[int]:
        """The numbers of a sequence's symbols; unknown ones are left out."""
        return [self._index[symbol] for symbol in sequence if symbol in self._index]

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """The symbols of some numbers, blanks left out."""
        return [self.symbols[n - 1] for n in numbers if n != BLANK]


def greedy(log_probabilities: np.ndarray, alphabet: Alphabet) -> list[str]:
    """The best path's symbols: repeats joined, blanks dropped."""
    return alphabet.decode(collapse(log_probabilities.argmax(axis=1), silence=BLANK))


def beam_search(log_probabilities: np.ndarray, alphabet: Alphabet, width: int) -> list[str]:
    """The most probable symbols over their alignments."""
    return alphabet.decode(prefix_beam(log_probabilities, width, blank=BLANK))


def as_text(symbols: Sequence[str]) -> str:
    """The characters found as a text with single spaces."""
    return " ".join("".join(symbols).split())


@dataclass
class TextSplit:
    """Utterances, what is to be recognised in each (a normalised text, or its phones), and frames."""

    sequences: Sequence[Sequence[str]]
    utterances: list[Utterance]
    frames: Frames


def characters(context: Context) -> TaskResult:
    """Score character recognition by CTC without a language model: greedy, or with ``ctc_beam`` prefixes.

    The headline head is linear over a window of 280 ms: over single frames a linear CTC head stays near 80 % on
    log-mel, and a recurrent head gives every representation the same figure. The recurrent one is in the details
    where ``heads`` names it.
    """
    train, test = _texts(context, context.train), _texts(context, context.test)
    return with_second_opinion(context, lambda recurrent: _recognise(context, train, test, recurrent=recurrent))


def with_second_opinion(context: Context, score: Callable[[bool], TaskResult]) -> TaskResult:
    """The score under the linear head; the recurrent one is in its details where ``heads`` names it."""
    result = score(False)
    if "recurrent" in context.heads:
        second = score(True)
        result.details["recurrent"] = {**second.metrics, **second.details}
    return result


def _recognise(context: Context, train: TextSplit, test: TextSplit, *, recurrent: bool) -> TaskResult:
    found, details = recognise(context, train, test, recurrent=recurrent)
    hypotheses = [as_text(symbols) for symbols in found]
    references = ["".join(text) for text in test.sequences]
    metrics, scores = score_texts(references, hypotheses, [u.language or "unknown" for u in test.utterances])
    return TaskResult(metrics, scores | details)


def recognise(
    context: Context, train: TextSplit, test: TextSplit, *, recurrent: bool
) -> tuple[list[list[str]], dict[str, Any]]:
    """Train a CTC head on the sequences of ``train``; return those found in ``test`` and how it was done."""
    alphabet = Alphabet(train.sequences)
    encoded = [alphabet.encode(sequence) for sequence in train.sequences]
    out = held_out(train.utterances)
    steps = np.diff(train.frames.offsets) // STACK
    fits = np.array([0 < ctc_frames(e) <= n for e, n in zip(encoded, steps, strict=True)])
    fitting, choosing = np.flatnonzero(~out & fits).tolist(), np.flatnonzero(out & fits).tolist()
    if not fitting:
        raise TaskLeftOut("every training text is longer than its audio has frames")
    schedule = RECURRENT_SCHEDULE if recurrent else SCHEDULE
    data = Standardised.fit(train.frames.layers, train.frames.rows(fitting))
    head = build_head(
        train.frames.num_layers,
        train.frames.width,
        len(alphabet),
        context.seed,
        schedule,
        recurrent=recurrent,
        stack=STACK,
        window=1 if recurrent else WINDOW,
    )
    epoch = train_head(
        head,
        data,
        train.frames,
        ctc_loss(encoded),
        fitting=fitting,
        choosing=choosing or fitting,
        schedule=schedule,
        seed=context.seed,
        progress=context.progress,
    )
    found = log_probabilities(head, data.with_layers(test.frames.layers), test.frames)
    beam = context.ctc_beam
    sequences = [beam_search(piece, alphabet, beam) if beam > 1 else greedy(piece, alphabet) for piece in found]
    return sequences, {
        "head": "bidirectional GRU" if recurrent else f"linear over {WINDOW * STACK * 20} ms",
        "decoder": f"beam of {beam}" if beam > 1 else "greedy",
        "alphabet": len(alphabet) - 1,
        "train_utterances": len(fitting) + len(choosing),
        "test_utterances": len(test.utterances),
        "train_s": round(train.frames.seconds, 1),
        "test_s": round(test.frames.seconds, 1),
        "too_long_for_ctc": int((~fits).sum()),
        "layer_weights": head.layer_weights,
        "best_epoch": epoch,
    }


def score_texts(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """CER and WER in percent, and both per language with the macro average."""
    words = [r.split() for r in references], [h.split() for h in hypotheses]
    cer_by_language = grouped_error_pct(references, hypotheses, languages)
    wer_by_language = grouped_error_pct(words[0], words[1], languages)
    metrics = {
        "characters_cer_pct": error_rate(references, hypotheses).pct,
        "characters_wer_pct": error_rate(words[0], words[1]).pct,
        **macro_metric("characters_cer_macro_pct", cer_by_language),
    }
    return metrics, {
        "cer_by_language_pct": cer_by_language,
        "wer_by_language_pct": wer_by_language,
        "cer_macro_pct": macro_average(cer_by_language),
        "wer_macro_pct": macro_average(wer_by_language),
        "examples": [[r, h] for r, h in list(zip(references, hypotheses, strict=True))[:3]],
    }


def _texts(context: Context, side: Side) -> TextSplit:
    chosen = context.choose(side, lambda u: u.task == "speech" and bool(normalise_text(u.text or "")), sentences=True)
    if len(chosen) < 2:
        split = "train" if side is context.train else "test"
        raise TaskLeftOut(f"the corpus has no texts in its {split} split")
    utterances = [side.utterances[i] for i in chosen]
    texts = [normalise_text(u.text or "") for u in utterances]
    return TextSplit(texts, utterances, context.frames(side, chosen))


def ctc_frames(symbols: Sequence[int]) -> int:
    """How many frames CTC needs: one a symbol and a blank between equal neighbours."""
    return len(symbols) + sum(a == b for a, b in pairwise(symbols))
