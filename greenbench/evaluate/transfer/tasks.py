"""What a transferred model is trained on and scored by: crops with frame labels, or clips with one label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from greenbench.evaluate.alignment import Inventory, frame_labels, phone_sequence
from greenbench.evaluate.context import Context, Side, TaskLeftOut, held_out
from greenbench.evaluate.phones import aligned_inventory, choose_decoder
from greenbench.evaluate.representation import HOP_SAMPLES, equal_length_batches, whole_frames
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average
from greenbench.units import SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

CROP_SECONDS = 2.0
CROPS_PER_STEP = 8
CLIPS_PER_STEP = 16
LONGEST_CLIP_SECONDS = 3.0
HEAD_LEARNING_RATE = 1e-2

Predict = Callable[[Tensor], Tensor]
"""Waveforms (B, S) of equal length -> log-probabilities, (B, T, C) or (B, C)."""


@dataclass(frozen=True)
class Crops:
    """Equally long stretches of training utterances: positions in the task's list and first samples."""

    positions: np.ndarray
    starts: np.ndarray
    num_samples: int

    @property
    def audio_s(self) -> float:
        """The seconds of audio in the step."""
        return len(self.positions) * self.num_samples / SAMPLE_RATE


class TransferTask(Protocol):
    """One task. ``pooled`` says whether there is one label per clip or a sequence.

    ``stack`` and ``window`` are those of :class:`greenbench.evaluate.transfer.head.TransferHead`.
    """

    name: str
    metric: str
    classes: int
    pooled: bool
    stack: int
    window: int
    head_learning_rate: float
    audio: list[np.ndarray]
    """Training audio, cut to whole frames."""

    def sample(self, generator: np.random.Generator) -> Crops:
        """Draw the crops of one step."""

    def examples(self) -> list[Crops]:
        """Crops of a step for each length that steps have."""

    def loss(self, logits: Tensor, crops: Crops) -> Tensor:
        """The loss of logits (B, T, C) or (B, C)."""

    def score(self, predict: Predict) -> tuple[float, dict[str, Any]]:
        """The error on the test split in percent and details."""


def label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of (B, T, C) or (B, C) logits; label -1 is left out."""
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten().to(logits.device), ignore_index=-1)


class PhonesTask:
    """Phone recognition: cross-entropy on crops of two seconds, Viterbi decoding of whole test utterances."""

    name, metric, pooled = "phones", "phones_per_pct", False
    stack, window, head_learning_rate = 1, 1, HEAD_LEARNING_RATE

    def __init__(self, context: Context) -> None:
        self.inventory: Inventory = aligned_inventory(context)
        self.classes = len(self.inventory)
        train, audio = _aligned(context, context.train)
        self.test, self.test_audio = _aligned(context, context.test)
        out = held_out(train)
        self.held, self.held_audio = _pick(train, out), _pick(audio, out)
        self.train, self.audio = _pick(train, ~out), _pick(audio, ~out)
        self.labels = self._labels(self.train, self.audio)
        shortest = int(np.quantile([len(a) for a in self.audio], 0.1)) // HOP_SAMPLES * HOP_SAMPLES
        self.crop = min(int(CROP_SECONDS * SAMPLE_RATE), shortest)
        self.long_enough = np.flatnonzero([len(a) >= self.crop for a in self.audio])

    def sample(self, generator: np.random.Generator) -> Crops:
        """Draw crops at random places, all frames of long enough utterances being equally likely to begin one."""
        room = np.array([len(self.audio[p]) - self.crop for p in self.long_enough]) // HOP_SAMPLES + 1
        positions = generator.choice(self.long_enough, CROPS_PER_STEP, p=room / room.sum())
        limits = [(len(self.audio[p]) - self.crop) // HOP_SAMPLES + 1 for p in positions]
        return Crops(positions, generator.integers(0, limits) * HOP_SAMPLES, self.crop)

    def examples(self) -> list[Crops]:
        """One step's crops: all have one length."""
        return [self.sample(np.random.default_rng(0))]

    def loss(self, logits: Tensor, crops: Crops) -> Tensor:
        """The cross-entropy of frames, (B, T, C)."""
        frames = crops.num_samples // HOP_SAMPLES
        firsts = crops.starts // HOP_SAMPLES
        pieces = [self.labels[p][f : f + frames] for p, f in zip(crops.positions, firsts, strict=True)]
        return label_loss(logits, torch.from_numpy(np.stack(pieces)))

    def score(self, predict: Predict) -> tuple[float, dict[str, Any]]:
        """PER; the decoder is chosen on held-out training speakers."""
        known = predict_all(self.held_audio, predict)
        references = [phone_sequence(u.phones or ()) for u in self.held]
        decoder, _ = choose_decoder(known, references, self.labels, self.inventory)
        hypotheses = decoder.decode(predict_all(self.test_audio, predict), self.inventory)
        references = [phone_sequence(u.phones or ()) for u in self.test]
        by_language = grouped_error_pct(references, hypotheses, [u.language or "unknown" for u in self.test])
        return error_rate(references, hypotheses).pct, {
            "per_by_language_pct": by_language,
            "per_macro_pct": macro_average(by_language),
        }

    def _labels(self, utterances: list[Utterance], audio: Sequence[np.ndarray]) -> list[np.ndarray]:
        pairs = zip(utterances, audio, strict=True)
        return [frame_labels(u.phones or (), len(a) // HOP_SAMPLES, self.inventory) for u, a in pairs]


class ClipTask:
    """One label per utterance. All clips have one length: longer ones are cut, shorter ones end in digital silence."""

    pooled = True
    stack, window, head_learning_rate = 1, 1, HEAD_LEARNING_RATE

    def __init__(self, name: str, train: list[tuple[np.ndarray, str]], test: list[tuple[np.ndarray, str]]) -> None:
        self.name, self.metric = name, f"{name}_error_pct"
        self.names = sorted({label for _, label in train})
        self.classes = len(self.names)
        index = {label: i for i, label in enumerate(self.names)}
        length = int(np.quantile([len(audio) for audio, _ in train], 0.9))
        self.length = min(length, int(LONGEST_CLIP_SECONDS * SAMPLE_RATE)) // HOP_SAMPLES * HOP_SAMPLES
        self.audio = [self._clip(audio) for audio, _ in train]
        self.labels = np.array([index[label] for _, label in train])
        self.test_audio = [self._clip(audio) for audio, _ in test]
        self.test_labels = np.array([index.get(label, -1) for _, label in test])

    def _clip(self, audio: np.ndarray) -> np.ndarray:
        cut = audio[max(0, len(audio) - self.length) // 2 :][: self.length]
        return np.pad(cut, (0, self.length - len(cut)))

    def sample(self, generator: np.random.Generator) -> Crops:
        """Draw clips without replacement."""
        count = min(CLIPS_PER_STEP, len(self.audio))
        positions = generator.choice(len(self.audio), count, replace=False)
        return Crops(positions, np.zeros(count, dtype=np.int64), self.length)

    def examples(self) -> list[Crops]:
        """One step's clips: all have one length."""
        return [self.sample(np.random.default_rng(0))]

    def loss(self, logits: Tensor, crops: Crops) -> Tensor:
        """The cross-entropy of clips, (B, C)."""
        return label_loss(logits, torch.from_numpy(self.labels[crops.positions]))

    def score(self, predict: Predict) -> tuple[float, dict[str, Any]]:
        """The share of test clips with a wrong label."""
        found = np.concatenate([p.argmax(-1, keepdims=True) for p in predict_all(self.test_audio, predict)])
        return 100.0 * float((found != self.test_labels).mean()), {"classes": self.classes}


def _aligned(context: Context, side: Side) -> tuple[list[Utterance], list[np.ndarray]]:
    chosen = context.choose(side, lambda u: u.task == "speech" and bool(u.phones), sentences=True)
    if not chosen:
        raise TaskLeftOut("the corpus has no phone alignments")
    return [side.utterances[i] for i in chosen], [whole_frames(side.store.waveform(i)) for i in chosen]


def _pick(items: list[Any], mask: np.ndarray) -> list[Any]:
    return [item for item, keep in zip(items, mask, strict=True) if keep]


def predict_all(audio: Sequence[np.ndarray], predict: Predict) -> list[np.ndarray]:
    """Log-probabilities of each utterance, (T_u, C) or (C,); equally long ones share a batch."""
    found: list[np.ndarray] = [np.zeros(0)] * len(audio)
    for group in equal_length_batches([len(a) for a in audio]):
        values = predict(torch.from_numpy(np.stack([audio[p] for p in group]))).float().cpu().numpy()
        for position, value in zip(group, values, strict=True):
            found[position] = value
    return found
