"""Tasks with one label per utterance: keyword spotting, speaker and language identification.

Each layer's frames are pooled to their mean and deviation over time; the rest is the linear probe of the other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.evaluate.context import Context, Side, TaskLeftOut, TaskResult, held_out, stable_hash
from greenbench.evaluate.linear import Schedule, fit_linear_probe
from greenbench.evaluate.representation import Frames

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

SCHEDULE = Schedule(batch=64, layer_epochs=20, choosing_epochs=20, epochs=30, weight_decays=(1e-3, 1e-2, 1e-1))
OWN_TEST_SHARE = 4


def guess_error_pct(answers: np.ndarray, wanted: np.ndarray) -> float:
    """The expected error in percent of the same answers dealt out at random: what a blind probe reaches.

    ``answers`` and ``wanted`` (N,) are class numbers; -1 among ``wanted`` is a class that training never showed.
    """
    names, shares = np.unique(answers, return_counts=True)
    hits = sum(share * int((wanted == name).sum()) for name, share in zip(names, shares, strict=True))
    return 100.0 * (1.0 - float(hits) / max(len(wanted), 1) ** 2)


def pool(frames: Frames) -> np.ndarray:
    """Mean and deviation over each utterance's frames, (L, U, 2 D) float16."""
    count, _, width = frames.layers.shape
    utterances = len(frames.offsets) - 1
    pooled = np.zeros((count, utterances, 2 * width), dtype=np.float16)
    for u in range(utterances):
        piece = frames.layers[:, frames.offsets[u] : frames.offsets[u + 1]].astype(np.float32)
        pooled[:, u, :width] = piece.mean(axis=1)
        pooled[:, u, width:] = piece.std(axis=1)
    return pooled


def classify(
    train: Frames, train_labels: Sequence[str], test: Frames, test_labels: Sequence[str], *, out: np.ndarray, seed: int
) -> tuple[float, dict[str, Any]]:
    """The error in percent of a linear probe on pooled frames, and details (confusions, chance)."""
    classes = sorted(set(train_labels))
    index = {label: i for i, label in enumerate(classes)}
    labels = np.array([index[label] for label in train_labels])
    wanted = np.array([index.get(label, -1) for label in test_labels])
    pooled = pool(train)
    _, probe = fit_linear_probe(
        pooled, np.arange(len(labels)), labels, len(classes), held_out=out, seed=seed, schedule=SCHEDULE
    )
    found = probe.log_probabilities(pool(test)).argmax(axis=1)
    by_class = {
        name: round(100.0 * float((found[wanted == i] != i).mean()), 2)
        for i, name in enumerate(classes)
        if (wanted == i).any()
    }
    commonest = np.bincount(labels).argmax()
    return 100.0 * float((found != wanted).mean()), {
        "classes": len(classes),
        "train_utterances": len(labels),
        "test_utterances": len(wanted),
        "error_by_class_pct": by_class,
        "chance_error_pct": round(100.0 * float((wanted != commonest).mean()), 2),
        "guess_error_pct": guess_error_pct(found, wanted),
        "layer_weights": probe.layer_weights,
        "weight_decay": probe.weight_decay,
    }


Labelled = list[tuple[Side, int, str]]
"""(split, utterance, label)."""


def keyword_split(context: Context) -> tuple[Labelled, Labelled]:
    """Keyword clips of train and test: one word an utterance."""
    train, test = (
        [(side, i, side.utterances[i].keyword or "") for i in context.choose(side, _is_keyword)]
        for side in (context.train, context.test)
    )
    if len({label for _, _, label in train}) < 2 or not test:
        raise TaskLeftOut("the corpus has no keyword utterances with at least two words in train and test")
    return train, test


def language_split(context: Context) -> tuple[Labelled, Labelled]:
    """Utterances of train and test with their language."""
    train, test = (
        [
            (side, i, side.utterances[i].language or "")
            for i in context.choose(side, lambda u: u.task == "speech" and bool(u.language))
        ]
        for side in (context.train, context.test)
    )
    languages = {label for _, _, label in train}
    if len(languages) < 2:
        raise TaskLeftOut(f"the corpus has {len(languages)} language in its train split; two are needed")
    if not test:
        raise TaskLeftOut("the corpus has no language labels in its test split")
    return train, test


def speaker_split(context: Context) -> tuple[Labelled, Labelled]:
    """Utterances to identify speakers on, all of whom training hears.

    Where the corpus marks utterances for it (``speaker_split``) those are used; where all test speakers are also
    train speakers, the test split; else every fourth utterance of each train speaker.
    """
    marked = any(u.speaker_split for u in context.train.utterances)
    known = context.choose(
        context.train, lambda u: bool(u.speaker) and u.task == "speech" and (bool(u.speaker_split) or not marked)
    )
    known = known or context.choose(context.train, lambda u: bool(u.speaker))
    utterances = context.train.utterances
    names = {utterances[i].speaker or "" for i in known}
    if len(names) < 2:
        raise TaskLeftOut("the corpus names fewer than two speakers in its train split")

    def labelled(side: Side, indices: list[int]) -> Labelled:
        return [(side, i, side.utterances[i].speaker or "") for i in indices]

    if any(utterances[i].speaker_split for i in known):
        train = [i for i in known if utterances[i].speaker_split == "train"]
        test = [i for i in known if utterances[i].speaker_split == "test"]
        if not train or not test:
            raise TaskLeftOut("the corpus marks no utterances for speaker identification in train and test")
        return labelled(context.train, train), labelled(context.train, test)
    others = context.choose(context.test, lambda u: bool(u.speaker))
    if others and {context.test.utterances[i].speaker for i in others} <= names:
        return labelled(context.train, known), labelled(context.test, others)
    train, test = _every_fourth(context, known)
    return labelled(context.train, train), labelled(context.train, test)


def keywords(context: Context) -> TaskResult:
    """Score keyword spotting, on speakers that training did not hear where the corpus can."""
    return _score(context, "keywords", *keyword_split(context))


def language(context: Context) -> TaskResult:
    """Score language identification."""
    return _score(context, "language", *language_split(context))


def speaker(context: Context) -> TaskResult:
    """Score speaker identification."""
    return _score(context, "speaker", *speaker_split(context))


def _is_keyword(utterance: Utterance) -> bool:
    return utterance.task == "keyword" and bool(utterance.keyword)


def _every_fourth(context: Context, known: list[int]) -> tuple[list[int], list[int]]:
    utterances = context.train.utterances
    order = sorted(known, key=lambda i: (utterances[i].speaker or "", stable_hash(utterances[i].id)))
    seen: dict[str, int] = {}
    train: list[int] = []
    test: list[int] = []
    for i in order:
        name = utterances[i].speaker or ""
        seen[name] = seen.get(name, 0) + 1
        (test if seen[name] % OWN_TEST_SHARE == 0 else train).append(i)
    if not test:
        raise TaskLeftOut("no speaker has four utterances in the train split, one of them to be tested on")
    return sorted(train), sorted(test)


def _score(context: Context, name: str, train: Labelled, test: Labelled) -> TaskResult:
    train_labels, test_labels = [label for _, _, label in train], [label for _, _, label in test]
    utterances = [side.utterances[i] for side, i, _ in train]
    out = _spread_out(len(train)) if name == "speaker" else held_out(utterances)
    train_frames, test_frames = _frames(context, train, test)
    error, details = classify(train_frames, train_labels, test_frames, test_labels, out=out, seed=context.seed)
    return TaskResult({f"{name}_error_pct": error}, details)


def _frames(context: Context, train: Labelled, test: Labelled) -> tuple[Frames, Frames]:
    """The frames of both halves; where both lie in one split they share one extraction."""
    if train[0][0] is not test[0][0]:
        first, second = (context.frames(part[0][0], [i for _, i, _ in part]) for part in (train, test))
        return first, second
    both = sorted(i for _, i, _ in train + test)
    frames = context.frames(train[0][0], both)
    place = {index: position for position, index in enumerate(both)}
    first, second = (_part(frames, [place[i] for _, i, _ in part]) for part in (train, test))
    return first, second


def _part(frames: Frames, utterances: Sequence[int]) -> Frames:
    rows = frames.rows(utterances)
    lengths = np.diff(frames.offsets)[list(utterances)]
    return Frames(frames.layers[:, rows], np.concatenate([[0], np.cumsum(lengths)]), float(len(rows)) / 50)


def _spread_out(count: int) -> np.ndarray:
    """Mark every tenth utterance: for tasks whose classes must all stay in training."""
    mask = np.zeros(count, dtype=bool)
    mask[5::10] = True
    return mask
