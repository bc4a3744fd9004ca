"""The shuffled-label control: every classification task again, with training labels that mean nothing.

A probe that beats chance on them reads something other than the representation: test labels that leaked, or a split
that gives itself away. Frames are those that were extracted for the real labels, so only probes are paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from greenbench.evaluate.alignment import SILENCE
from greenbench.evaluate.context import Context, Side, TaskLeftOut, held_out
from greenbench.evaluate.controls import ShuffledCorpus
from greenbench.evaluate.linear import fit_linear_probe
from greenbench.evaluate.phones import AlignedSplit, aligned_inventory, aligned_splits
from greenbench.evaluate.utterances import guess_error_pct, keywords, language, speaker

CONFIDENCE = 0.99


def shuffled_labels(context: Context, tasks: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Score the classification tasks among ``tasks`` on shuffled labels; also return what was left out and why.

    An entry has ``error_pct``, ``guess_error_pct`` (chance: the same answers dealt out at random),
    ``majority_error_pct`` (always the commonest training label), ``low_pct`` and ``high_pct`` (the binomial 99 %
    interval of so many independent ``answers`` about ``guess_error_pct``) and ``at_chance``.
    """
    blind = _blind(context)
    found: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in tasks:
        if name in _TASKS:
            try:
                found[name] = _TASKS[name](blind)
            except TaskLeftOut as reason:
                left_out[f"shuffled {name}"] = str(reason)
    return found, left_out


def _blind(context: Context) -> Context:
    """The context with shuffled training labels; frames stay shared."""
    splits = {"train": context.train.utterances, "test": context.test.utterances}
    dealt = ShuffledCorpus(splits, seed=context.seed).split("train")
    train = Side(dealt, context.train.store, context.train.cache)
    return replace(context, train=train)


def _entry(error_pct: float, guess_pct: float, majority_pct: float, answers: int) -> dict[str, Any]:
    from scipy.stats import binom  # takes 0.8 s, which only this control needs to spend

    low, high = binom.interval(CONFIDENCE, answers, guess_pct / 100.0)
    bounds = (100.0 * float(low) / answers, 100.0 * float(high) / answers)
    return {
        "error_pct": error_pct,
        "guess_error_pct": round(guess_pct, 3),
        "majority_error_pct": round(majority_pct, 3),
        "low_pct": round(bounds[0], 3),
        "high_pct": round(bounds[1], 3),
        "answers": answers,
        "at_chance": bool(bounds[0] <= error_pct <= bounds[1]),
    }


def _clips(name: str) -> Callable[[Context], dict[str, Any]]:
    def scored(context: Context) -> dict[str, Any]:
        result = {"keywords": keywords, "speaker": speaker, "language": language}[name](context)
        details = result.details
        return _entry(
            result.metrics[f"{name}_error_pct"],
            details["guess_error_pct"],
            details["chance_error_pct"],
            details["test_utterances"],
        )

    return scored


def _frames(context: Context) -> dict[str, Any]:
    """Classify frames. Frames of one segment are alike, so segments count as answers."""
    inventory = aligned_inventory(context)
    train, test = aligned_splits(context, inventory)
    out = np.repeat(held_out(train.utterances), np.diff(train.frames.offsets))
    _, probe = fit_linear_probe(
        train.frames.layers, np.arange(len(train.labels)), train.labels, len(inventory), held_out=out, seed=context.seed
    )
    found = probe.log_probabilities(test.frames.layers).argmax(axis=1)
    commonest = int(np.bincount(train.labels.clip(0)).argmax())
    return _entry(
        100.0 * float((found != test.labels).mean()),
        guess_error_pct(found, test.labels),
        100.0 * float((test.labels != commonest).mean()),
        _segments(test),
    )


def _segments(split: AlignedSplit) -> int:
    return sum(1 for u in split.utterances for label, _, _ in u.phones or () if label != SILENCE) or 1


_TASKS: dict[str, Callable[[Context], dict[str, Any]]] = {
    "phones": _frames,
    "keywords": _clips("keywords"),
    "speaker": _clips("speaker"),
    "language": _clips("language"),
}
