"""The tasks by name, and what stands in for a task that a corpus' labels do not allow."""

from __future__ import annotations

from collections.abc import Callable

from greenbench.evaluate.abx import abx
from greenbench.evaluate.characters import characters
from greenbench.evaluate.context import Context, TaskResult
from greenbench.evaluate.label_free import pnmi_task, rank_task
from greenbench.evaluate.phones import aligned_inventory, aligned_splits, linear_phones
from greenbench.evaluate.recurrent import recurrent_phones
from greenbench.evaluate.text_phones import text_phones
from greenbench.evaluate.utterances import keywords, language, speaker

Task = Callable[[Context], TaskResult]


def phones(context: Context) -> TaskResult:
    """Score phone recognition under each head that was asked for."""
    result = linear_phones(context) if "linear" in context.heads else TaskResult({})
    if "recurrent" in context.heads:
        inventory = aligned_inventory(context)
        second = recurrent_phones(context, inventory, *aligned_splits(context, inventory))
        result.metrics.update(second.metrics)
        result.details["recurrent"] = second.details
    return result


TASKS: dict[str, Task] = {
    "phones": phones,
    "g2p": text_phones,
    "characters": characters,
    "keywords": keywords,
    "speaker": speaker,
    "language": language,
    "pnmi": pnmi_task,
    "abx": abx,
    "effective_rank": rank_task,
}

FALLBACKS = {"phones": "characters", "g2p": "characters", "characters": "keywords", "keywords": "speaker"}
"""What is scored where the labels do not allow a task: the nearest one that needs less."""
