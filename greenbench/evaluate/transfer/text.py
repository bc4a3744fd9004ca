"""Character recognition as a transfer task: CTC on whole utterances, greedy decoding, character error rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.evaluate.characters import (
    STACK,
    WINDOW,
    Alphabet,
    as_text,
    ctc_frames,
    greedy,
    normalise_text,
    score_texts,
)
from greenbench.evaluate.context import Context, Side, TaskLeftOut
from greenbench.evaluate.representation import HOP_SAMPLES, whole_frames
from greenbench.evaluate.transfer.tasks import Crops, Predict, predict_all
from greenbench.units import SAMPLE_RATE

STEP_SECONDS = 16.0
LONGEST_TEXT_SECONDS = 12.0
_GRID_SAMPLES = 25 * HOP_SAMPLES
"""Lengths of steps are whole half seconds, so that few of them differ."""


class CharactersTask:
    """Text without alignments. The head is that of the frozen task: linear over 280 ms at 25 steps a second.

    A text cannot be cut with its audio, so whole utterances of neighbouring length make a step of at most 16 seconds;
    shorter ones end in digital silence, which the loss does not see. Utterances above 12 seconds, and those whose
    text is longer than CTC has steps for, are not trained on. Scoring pads nothing.
    """

    name, metric, pooled = "characters", "characters_cer_pct", False
    stack, window, head_learning_rate = STACK, WINDOW, 3e-3

    def __init__(self, context: Context) -> None:
        texts, audio, _ = _spoken(context, context.train)
        self.test_texts, self.test_audio, self.test_languages = _spoken(context, context.test)
        self.alphabet = Alphabet(texts)
        self.classes = len(self.alphabet)
        encoded = [self.alphabet.encode(text) for text in texts]
        steps = [len(a) // HOP_SAMPLES // STACK for a in audio]
        fitting = [
            i
            for i, n in enumerate(steps)
            if 0 < ctc_frames(encoded[i]) <= n and len(audio[i]) <= LONGEST_TEXT_SECONDS * SAMPLE_RATE
        ]
        if not fitting:
            raise TaskLeftOut("every training text is longer than its audio has frames, or above 12 seconds")
        fitting.sort(key=lambda i: len(audio[i]))
        self.encoded, self.steps = [encoded[i] for i in fitting], [steps[i] for i in fitting]
        self.groups = _groups([len(audio[i]) for i in fitting])
        self.audio: list[np.ndarray] = []
        for group in self.groups:
            self.audio += [_padded(audio[fitting[p]], group.num_samples) for p in group.positions]

    def sample(self, generator: np.random.Generator) -> Crops:
        """Draw a group of utterances."""
        return self.groups[int(generator.integers(len(self.groups)))]

    def examples(self) -> list[Crops]:
        """A group of each length."""
        return list({group.num_samples: group for group in self.groups}.values())

    def loss(self, logits: Tensor, crops: Crops) -> Tensor:
        """The CTC loss per character of logits (B, T, C)."""
        targets = [self.encoded[p] for p in crops.positions]
        sizes = torch.tensor([len(t) for t in targets])
        log_probabilities = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)
        each = F.ctc_loss(
            log_probabilities,
            torch.tensor([c for t in targets for c in t]),
            torch.tensor([self.steps[p] for p in crops.positions]),
            sizes,
            reduction="none",
            zero_infinity=True,
        )
        return each.sum() / sizes.sum()

    def score(self, predict: Predict) -> tuple[float, dict[str, Any]]:
        """CER on the test split by greedy decoding, and WER and languages in the details."""
        hypotheses = [as_text(greedy(piece, self.alphabet)) for piece in predict_all(self.test_audio, predict)]
        metrics, details = score_texts(self.test_texts, hypotheses, self.test_languages)
        return metrics["characters_cer_pct"], {**details, "wer_pct": metrics["characters_wer_pct"]}


def _spoken(context: Context, side: Side) -> tuple[list[str], list[np.ndarray], list[str]]:
    chosen = context.choose(side, lambda u: u.task == "speech" and bool(normalise_text(u.text or "")), sentences=True)
    if len(chosen) < 2:
        split = "train" if side is context.train else "test"
        raise TaskLeftOut(f"the corpus has no texts in its {split} split")
    utterances = [side.utterances[i] for i in chosen]
    audio = [whole_frames(side.store.waveform(i)) for i in chosen]
    return [normalise_text(u.text or "") for u in utterances], audio, [u.language or "unknown" for u in utterances]


def _groups(lengths: list[int]) -> list[Crops]:
    """Cut utterances, sorted by length in samples, into steps of at most 16 seconds, padding included."""
    groups: list[Crops] = []
    begin = 0
    for end in range(1, len(lengths) + 1):
        full = end == len(lengths) or (end + 1 - begin) * _rounded(lengths[end]) > STEP_SECONDS * SAMPLE_RATE
        if full:
            positions = np.arange(begin, end)
            groups.append(Crops(positions, np.zeros(end - begin, dtype=np.int64), _rounded(lengths[end - 1])))
            begin = end
    return groups


def _rounded(length: int) -> int:
    return -(-length // _GRID_SAMPLES) * _GRID_SAMPLES


def _padded(audio: np.ndarray, length: int) -> np.ndarray:
    return np.pad(audio, (0, length - len(audio)))
