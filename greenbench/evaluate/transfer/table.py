"""All strategies on all tasks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from greenbench.config import BudgetSection
from greenbench.evaluate.context import Context, Side, TaskLeftOut
from greenbench.evaluate.representation import whole_frames
from greenbench.evaluate.tasks import FALLBACKS
from greenbench.evaluate.transfer.adaptation import TransferResult, adapt
from greenbench.evaluate.transfer.strategies import STRATEGIES
from greenbench.evaluate.transfer.tasks import ClipTask, PhonesTask, TransferTask
from greenbench.evaluate.transfer.text import CharactersTask
from greenbench.evaluate.utterances import keyword_split, language_split, speaker_split

TRANSFER_TASKS = ("phones", "characters", "keywords", "speaker", "language")


def build_task(name: str, context: Context) -> TransferTask:
    """A task by name; raises :class:`TaskLeftOut` where the labels do not allow it."""
    if name == "phones":
        return PhonesTask(context)
    if name == "characters":
        return CharactersTask(context)
    splits = {"keywords": keyword_split, "language": language_split, "speaker": speaker_split}
    train, test = splits[name](context)
    return ClipTask(name, _labelled(train), _labelled(test))


def _labelled(part: list[tuple[Side, int, str]]) -> list[tuple[np.ndarray, str]]:
    return [(whole_frames(side.store.waveform(index)), label) for side, index, label in part]


def run_transfer(
    context: Context,
    tasks: Sequence[str],
    strategies: Sequence[str],
    budget: BudgetSection,
    *,
    joules: Callable[[], float | None] | None = None,
    grams_per_joule: float | None = None,
) -> tuple[list[TransferResult], dict[str, str]]:
    """A result per task and strategy, and what was left out with its reason.

    A task that the labels do not allow is replaced by its fallback, as among the frozen tasks.
    ``joules`` returns the cumulative energy of the machine, or None where there is no meter.
    """
    results: list[TransferResult] = []
    left_out: dict[str, str] = {}
    queue = list(tasks)
    for name in queue:
        try:
            task = build_task(name, context)
        except TaskLeftOut as reason:
            left_out[f"transfer to {name}"] = str(reason)
            if (fallback := FALLBACKS.get(name)) and fallback not in queue:
                left_out[f"transfer to {name}"] += f"; adapted instead to: {fallback}"
                queue.append(fallback)
            continue
        for strategy in strategies:
            context.progress(f"transfer to {name}, {strategy}", 0.0)
            try:
                results.append(
                    adapt(context, task, STRATEGIES[strategy], budget, joules=joules, grams_per_joule=grams_per_joule)
                )
            except TaskLeftOut as reason:
                left_out[f"transfer by {strategy}"] = str(reason)
    return results, left_out


def with_memory_factor(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add ``memory_factor``: how many times less memory than full fine-tuning; None where that was not run."""
    full = {row["task"]: row["peak_memory_bytes"] for row in rows if row["strategy"] == "full"}
    for row in rows:
        reference = full.get(row["task"])
        row["memory_factor"] = round(reference / row["peak_memory_bytes"], 3) if reference else None
    return rows
