"""Heads over whole utterances: a linear or a small recurrent one, trained on frames (cross-entropy) or text (CTC).

Utterances are padded here, after the frozen model, and packed, so that padding reaches neither head nor loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from greenbench.evaluate.linear import Standardised
from greenbench.evaluate.representation import Frames, silent
from greenbench.progress import Progress

PADDING = -1


@dataclass(frozen=True)
class SequenceSchedule:
    """How a sequence head is trained: Adam, a short warm-up, then a cosine to 0; the best epoch on held-out is kept."""

    epochs: int = 16
    batch: int = 32
    learning_rate: float = 7e-3
    warmup_fraction: float = 0.05
    dropout: float = 0.2
    grad_clip: float = 1.0


class SharedDropout(nn.Module):
    """Dropout of (B, T, D) with one mask for all steps of an utterance (Gal and Ghahramani 2016, arXiv 1512.05287)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D)."""
        return inputs * F.dropout(torch.ones_like(inputs[:, :1]), self.rate) if self.training else inputs


class SequenceHead(nn.Module):
    """A softmax-weighted sum of standardised layers, then linear (over a ``window`` of steps), or a GRU and linear.

    ``stack`` frames side by side make one step: 2 halves the steps for text, where 50 a second are more than CTC needs.
    """

    def __init__(
        self,
        layers: int,
        width: int,
        classes: int,
        *,
        recurrent: bool,
        hidden: int,
        dropout: float,
        stack: int = 1,
        window: int = 1,
    ) -> None:
        super().__init__()
        self.stack = stack
        width *= stack
        self.layer_logits = nn.Parameter(torch.zeros(layers))
        self.dropout = SharedDropout(dropout) if recurrent else nn.Dropout(dropout)
        self.recurrent = nn.GRU(width, hidden, batch_first=True, bidirectional=True) if recurrent else None
        self.classify = nn.Conv1d(2 * hidden if recurrent else width, classes, window, padding=window // 2)

    def forward(self, data: Standardised, rows: list[np.ndarray]) -> Tensor:
        """Logits (B, T, C) of utterances given by their rows, from long to short."""
        rows = [r[: self.steps(len(r)) * self.stack] for r in rows]
        lengths = [self.steps(len(r)) for r in rows]
        flat = data.weighted(np.concatenate(rows), self.layer_logits)
        flat = flat.reshape(sum(lengths), -1)
        inputs = self.dropout(pad_sequence(list(flat.split(lengths)), batch_first=True))
        if self.recurrent is not None and lengths[0] == lengths[-1]:
            inputs = self.dropout(self.recurrent(inputs)[0])
        elif self.recurrent is not None:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True)
            inputs = self.dropout(pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)[0])
        return self.classify(inputs.transpose(1, 2)).transpose(1, 2)

    def steps(self, frames: int) -> int:
        """The number of outputs for so many frames."""
        return frames // self.stack

    @property
    def layer_weights(self) -> list[float]:
        """The softmaxed weight of each layer."""
        return [round(float(w), 4) for w in self.layer_logits.detach().softmax(0)]


def in_pieces(frames: Frames, longest: int) -> Frames:
    """The same frames with utterances cut into pieces of at most ``longest`` frames: short ones train faster."""
    bounds = [
        np.arange(begin, end, longest) for begin, end in zip(frames.offsets[:-1], frames.offsets[1:], strict=True)
    ]
    return Frames(frames.layers, np.concatenate([*bounds, frames.offsets[-1:]]), frames.seconds)


Loss = Callable[[Tensor, list[int], list[int]], Tensor]
"""(logits (B, T, C), utterances, frames of each) -> scalar."""


def frame_loss(labels: Sequence[np.ndarray]) -> Loss:
    """The cross-entropy of frame labels, -1 left out."""
    targets = [torch.from_numpy(piece) for piece in labels]

    def loss(logits: Tensor, utterances: list[int], _lengths: list[int]) -> Tensor:
        target = pad_sequence([targets[u] for u in utterances], batch_first=True, padding_value=PADDING)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PADDING)

    return loss


def ctc_loss(targets: Sequence[Sequence[int]]) -> Loss:
    """The CTC loss per target symbol; class 0 is the blank. Targets that do not fit their frames count 0."""

    def loss(logits: Tensor, utterances: list[int], lengths: list[int]) -> Tensor:
        flat = torch.tensor([symbol for u in utterances for symbol in targets[u]], dtype=torch.long)
        sizes = torch.tensor([len(targets[u]) for u in utterances])
        log_probabilities = F.log_softmax(logits, dim=-1).transpose(0, 1)
        each = F.ctc_loss(
            log_probabilities, flat, torch.tensor(lengths), sizes, blank=0, reduction="none", zero_infinity=True
        )
        return each.sum() / sizes.sum().clamp(min=1)

    return loss


def train_head(
    head: SequenceHead,
    data: Standardised,
    frames: Frames,
    loss: Loss,
    *,
    fitting: Sequence[int],
    choosing: Sequence[int],
    schedule: SequenceSchedule,
    seed: int,
    progress: Progress = silent,
) -> int:
    """Train on the utterances ``fitting``, keep the epoch with the lowest loss on ``choosing``; returns that epoch."""
    generator = np.random.default_rng(seed)
    groups: list[dict[str, Any]] = [
        {"params": [head.layer_logits], "lr": 5 * schedule.learning_rate},
        {"params": _others(head)},
    ]
    optimizer = torch.optim.Adam(groups, lr=schedule.learning_rate)
    steps = schedule.epochs * -(-len(fitting) // schedule.batch)
    warmup = max(1, int(schedule.warmup_fraction * steps))
    scale = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min((n + 1) / warmup, 0.5 * (1 + float(np.cos(np.pi * n / steps))))
    )
    best: tuple[float, int, dict[str, Tensor]] | None = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(schedule.epochs):
            head.train()
            for group in _batches(frames, fitting, schedule.batch, generator):
                value = _loss_of(head, data, frames, loss, group)
                optimizer.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(head.parameters(), schedule.grad_clip)
                optimizer.step()
                scale.step()
            held_out = _mean_loss(head, data, frames, loss, choosing, schedule.batch)
            if best is None or held_out < best[0]:
                best = (held_out, epoch + 1, copy.deepcopy(head.state_dict()))
            progress("head", (epoch + 1) / schedule.epochs)
    assert best is not None
    head.load_state_dict(best[2])
    return best[1]


def log_probabilities(head: SequenceHead, data: Standardised, frames: Frames, batch: int = 32) -> list[np.ndarray]:
    """Log P(class | frame) of each utterance, (T_u, C) float32, in the order of ``frames``."""
    head.eval()
    count = len(frames.offsets) - 1
    found: list[np.ndarray] = [np.zeros(0)] * count
    with torch.no_grad():
        for group in _batches(frames, range(count), batch, None):
            rows = [frames.rows([u]) for u in group]
            logits = F.log_softmax(head(data, rows), dim=-1).numpy()
            for u, piece, r in zip(group, logits, rows, strict=True):
                found[u] = piece[: head.steps(len(r))]
    return found


def _others(head: SequenceHead) -> list[nn.Parameter]:
    return [p for name, p in head.named_parameters() if name != "layer_logits"]


def _loss_of(head: SequenceHead, data: Standardised, frames: Frames, loss: Loss, group: list[int]) -> Tensor:
    rows = [frames.rows([u]) for u in group]
    return loss(head(data, rows), group, [head.steps(len(r)) for r in rows])


def _mean_loss(
    head: SequenceHead, data: Standardised, frames: Frames, loss: Loss, utterances: Sequence[int], batch: int
) -> float:
    head.eval()
    with torch.no_grad():
        groups = _batches(frames, utterances, batch, None)
        values = [(float(_loss_of(head, data, frames, loss, g)), len(g)) for g in groups]
    return sum(v * n for v, n in values) / max(sum(n for _, n in values), 1)


def _batches(
    frames: Frames, utterances: Sequence[int], batch: int, generator: np.random.Generator | None
) -> list[list[int]]:
    """Group utterances of similar length, each group from long to short; shuffled groups if a generator is given."""
    lengths = np.diff(frames.offsets)
    # A little noise in the sorting key gives other groups in every epoch.
    noise = 0.0 if generator is None else generator.uniform(0.85, 1.15, len(utterances))
    key = lengths[list(utterances)] * (1.0 if generator is None else noise)
    order = [list(utterances)[i] for i in np.argsort(-key, kind="stable")]
    groups = [order[i : i + batch] for i in range(0, len(order), batch)]
    groups = [sorted(g, key=lambda u: -lengths[u]) for g in groups]
    if generator is not None:
        groups = [groups[i] for i in generator.permutation(len(groups))]
    return groups
