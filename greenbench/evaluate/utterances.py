"""Tasks with one label per utterance: keyword spotting, speaker and language identification.

Each layer's frames are pooled to their mean and deviation over time; the rest is the linear probe of the other tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from greenbench.evaluate.context import Context, TaskLeftOut, TaskResult, held_out, stable_hash
from greenbench.evaluate.linear import Schedule, fit_linear_probe
from greenbench.evaluate.representation import Frames

if TYPE_CHECKING:
    from greenbench.data.corpus import Utterance

SCHEDULE = Schedule(batch=64, layer_epochs=20, choosing_epochs=20, epochs=30, weight_decays=(1e-3, 1e-2, 1e-1))
OWN_TEST_SHARE = 4


def pool(frames: Frames) -> np.ndarray:
    """Return mean and deviation over each utterance's frames, (L, U, 2 D) float16."""
    count, _, width = frames.layers.shape
    utterances = len(frames.offsets) - 1
    pooled = np.zeros((count, utterances, 2 * width), dtype=np.float16)
    for u in range(utterances):
        piece = frames.layers[:, frames.offsets[u] : frames.offsets[u + 1]].astype(np.float32)
        pooled[:, u, :width] = piece.mean(axis=1)
        pooled[:, u, width:] = piece.std(axis=1)
    return pooled


def classify(
    train: Frames,
    train_labels: Sequence[str],
    test: Frames,
    test_labels: Sequence[str],
    *,
    out: np.ndarray,
    seed: int,
) -> tuple[float, dict[str, Any]]:
    """Return the error in percent of a linear probe on pooled frames, and details (confusions, chance)."""
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
        "layer_weights": probe.layer_weights,
        "weight_decay": probe.weight_decay,
    }


def keywords(context: Context) -> TaskResult:
    """Score keyword spotting: one word an utterance, by speakers that training did not hear where the corpus can."""
    chosen = [
        context.choose(side, lambda u: u.task == "keyword" and bool(u.keyword))
        for side in (context.train, context.test)
    ]
    words = {context.train.utterances[i].keyword for i in chosen[0]}
    if len(words) < 2 or not chosen[1]:
        raise TaskLeftOut("the corpus has no keyword utterances with at least two words in train and test")
    return _split_task(context, "keywords", chosen[0], chosen[1], lambda u: u.keyword or "")


def language(context: Context) -> TaskResult:
    """Score language identification."""
    chosen = [
        context.choose(side, lambda u: u.task == "speech" and bool(u.language))
        for side in (context.train, context.test)
    ]
    languages = {context.train.utterances[i].language for i in chosen[0]}
    if len(languages) < 2:
        raise TaskLeftOut(f"the corpus has {len(languages)} language; two are needed")
    if not chosen[1]:
        raise TaskLeftOut("the corpus has no language labels in its test split")
    return _split_task(context, "language", chosen[0], chosen[1], lambda u: u.language or "")


def speaker(context: Context) -> TaskResult:
    """Score speaker identification among speakers that training heard.

    Where the corpus marks utterances for it (``speaker_split``) those are used; where all test speakers are also
    train speakers, the test split; else every fourth utterance of each train speaker.
    """
    known = context.choose(context.train, lambda u: bool(u.speaker) and u.task == "speech")
    if not known:
        known = context.choose(context.train, lambda u: bool(u.speaker))
    utterances = context.train.utterances
    if len({utterances[i].speaker for i in known}) < 2:
        raise TaskLeftOut("the corpus names fewer than two speakers in its train split")
    marked = [i for i in known if utterances[i].speaker_split]
    if marked:
        train = [i for i in marked if utterances[i].speaker_split == "train"]
        test = [i for i in marked if utterances[i].speaker_split == "test"]
        return _within_train(context, train, test)
    others = context.choose(context.test, lambda u: bool(u.speaker))
    names = {utterances[i].speaker for i in known}
    if others and {context.test.utterances[i].speaker for i in others} <= names:
        return _split_task(context, "speaker", known, others, lambda u: u.speaker or "")
    train, test = _every_fourth(context, known)
    return _within_train(context, train, test)


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


def _within_train(context: Context, train: list[int], test: list[int]) -> TaskResult:
    """Train and test on utterances of the train split; both halves share one extraction."""
    if not train or not test:
        raise TaskLeftOut("the corpus marks no utterances for speaker identification in train and test")
    both = sorted(train + test)
    frames = context.frames(context.train, both)
    place = {index: position for position, index in enumerate(both)}
    names = [u.speaker or "" for u in context.train.utterances]
    error, details = classify(
        _part(frames, [place[i] for i in train]), [names[i] for i in train],
        _part(frames, [place[i] for i in test]), [names[i] for i in test],
        out=_spread_out(len(train)), seed=context.seed,
    )  # fmt: skip
    return TaskResult({"speaker_error_pct": error}, details)


def _split_task(
    context: Context, name: str, train: list[int], test: list[int], label: Callable[[Utterance], str]
) -> TaskResult:
    train_utterances = [context.train.utterances[i] for i in train]
    test_utterances = [context.test.utterances[i] for i in test]
    out = _spread_out(len(train)) if name == "speaker" else held_out(train_utterances)
    error, details = classify(
        context.frames(context.train, train), [label(u) for u in train_utterances],
        context.frames(context.test, test), [label(u) for u in test_utterances],
        out=out, seed=context.seed,
    )  # fmt: skip
    return TaskResult({f"{name}_error_pct": error}, details)


def _part(frames: Frames, utterances: Sequence[int]) -> Frames:
    rows = frames.rows(utterances)
    lengths = np.diff(frames.offsets)[list(utterances)]
    return Frames(frames.layers[:, rows], np.concatenate([[0], np.cumsum(lengths)]), float(len(rows)) / 50)


def _spread_out(count: int) -> np.ndarray:
    """Mark every tenth utterance: for tasks whose classes must all stay in training."""
    mask = np.zeros(count, dtype=bool)
    mask[5::10] = True
    return mask
