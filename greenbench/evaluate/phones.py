"""Phone recognition on aligned corpora: frame-wise linear probe, Viterbi decoding, phone error rate (PER)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.evaluate.alignment import Inventory, frame_labels, phone_sequence
from greenbench.evaluate.context import Context, TaskLeftOut, TaskResult, held_out
from greenbench.evaluate.decoding import Transitions, bigram_log_probabilities, decode
from greenbench.evaluate.linear import fit_linear_probe
from greenbench.evaluate.representation import Frames
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average, macro_metric

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

PENALTIES = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
PRIOR_WEIGHTS = (0.0, 0.3, 0.6)
BIGRAM_WEIGHTS = (0.0,)


@dataclass
class AlignedSplit:
    """Utterances with phones, their frames and the label of every frame."""

    utterances: list[Utterance]
    frames: Frames
    labels: np.ndarray
    references: list[list[str]]

    @property
    def languages(self) -> list[str]:
        """Each utterance's language."""
        return [u.language or "unknown" for u in self.utterances]


@dataclass(frozen=True)
class Decoder:
    """How frame posteriors become phones; the three weights are chosen on held-out training utterances."""

    penalty: float
    prior_weight: float
    bigram_weight: float
    log_prior: np.ndarray
    transitions: Transitions

    def decode(self, log_probabilities: Sequence[np.ndarray], inventory: Inventory) -> list[list[str]]:
        """The phones of each utterance."""
        scores = [p - self.prior_weight * self.log_prior for p in log_probabilities]
        return [inventory.names(path) for path in decode(scores, self.transitions)]

    def settings(self) -> dict[str, float]:
        """What was chosen."""
        return {"penalty": self.penalty, "prior_weight": self.prior_weight, "bigram_weight": self.bigram_weight}


def aligned_inventory(context: Context) -> Inventory:
    """The labels of the aligned training utterances, or say why there are none."""
    labelled = [u for u in context.train.utterances if u.task == "speech" and u.phones]
    if not labelled or not any(u.phones for u in context.test.utterances if u.task == "speech"):
        raise TaskLeftOut("the corpus has no phone alignments")
    return Inventory(label for u in labelled for label, _, _ in u.phones or ())


def aligned_splits(context: Context, inventory: Inventory) -> tuple[AlignedSplit, AlignedSplit]:
    """Train and test with frames and frame labels."""
    splits = []
    for side in (context.train, context.test):
        chosen = context.choose(side, lambda u: u.task == "speech" and bool(u.phones), sentences=True)
        utterances = [side.utterances[i] for i in chosen]
        frames = context.frames(side, chosen)
        counts = np.diff(frames.offsets)
        labels = [frame_labels(u.phones or (), n, inventory) for u, n in zip(utterances, counts, strict=True)]
        references = [phone_sequence(u.phones or ()) for u in utterances]
        splits.append(AlignedSplit(utterances, frames, np.concatenate(labels), references))
    return splits[0], splits[1]


def choose_decoder(
    log_probabilities: Sequence[np.ndarray],
    references: Sequence[Sequence[str]],
    train_labels: Sequence[np.ndarray],
    inventory: Inventory,
) -> tuple[Decoder, float]:
    """The decoder with the lowest PER on held-out utterances, and that PER in percent."""
    counts = np.bincount(np.concatenate(train_labels).clip(0), minlength=len(inventory)).astype(np.float64)
    log_prior = np.log((counts + 1.0) / (counts + 1.0).sum()).astype(np.float32)
    bigram = bigram_log_probabilities(train_labels, len(inventory))
    best: tuple[float, Decoder] | None = None
    for prior, weight, penalty in product(PRIOR_WEIGHTS, BIGRAM_WEIGHTS, PENALTIES):
        transitions = Transitions.build(bigram, penalty=penalty, bigram_weight=weight)
        decoder = Decoder(penalty, prior, weight, log_prior, transitions)
        pct = error_rate(references, decoder.decode(log_probabilities, inventory)).pct
        if best is None or pct < best[0]:
            best = (pct, decoder)
    assert best is not None
    return best[1], best[0]


def score(
    test: AlignedSplit, log_probabilities: np.ndarray, decoder: Decoder, inventory: Inventory
) -> tuple[float, dict[str, Any]]:
    """PER in percent and its details (per language, macro average, edits)."""
    hypotheses = decoder.decode(test.frames.split(log_probabilities), inventory)
    rate = error_rate(test.references, hypotheses)
    by_language = grouped_error_pct(test.references, hypotheses, test.languages)
    return rate.pct, {
        "errors": rate.errors,
        "reference_phones": rate.length,
        "per_by_language_pct": by_language,
        "per_macro_pct": macro_average(by_language),
        "decoder": decoder.settings(),
    }


def linear_phones(context: Context) -> TaskResult:
    """Score phone recognition and frame classification under the linear probe."""
    inventory = aligned_inventory(context)
    train, test = aligned_splits(context, inventory)
    out = held_out(train.utterances)
    out_frames = np.repeat(out, np.diff(train.frames.offsets))
    context.progress("linear probe", 0.0)
    every = np.arange(len(train.labels))
    choosing, final = fit_linear_probe(
        train.frames.layers, every, train.labels, len(inventory), held_out=out_frames, seed=context.seed
    )
    at = np.flatnonzero(out)
    pieces = train.frames.split(choosing.log_probabilities(train.frames.layers))
    labels = train.frames.split(train.labels)
    decoder, held_out_pct = choose_decoder(
        [pieces[i] for i in at], [train.references[i] for i in at], [labels[i] for i in np.flatnonzero(~out)], inventory
    )
    log_probabilities = final.log_probabilities(test.frames.layers)
    pct, details = score(test, log_probabilities, decoder, inventory)
    wrong = log_probabilities.argmax(axis=1) != test.labels
    details |= {
        "phones": len(inventory) - 1,
        "train_utterances": len(train.utterances),
        "test_utterances": len(test.utterances),
        "train_s": round(train.frames.seconds, 1),
        "test_s": round(test.frames.seconds, 1),
        "layer_weights": final.layer_weights,
        "weight_decay": final.weight_decay,
        "held_out_per_pct": round(held_out_pct, 3),
    }
    metrics = {"phones_per_pct": pct, "phones_frame_error_pct": 100.0 * float(wrong.mean())}
    return TaskResult(metrics | macro_metric("phones_per_macro_pct", details["per_by_language_pct"]), details)
