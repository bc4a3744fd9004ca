"""One evaluation: the tasks a suite asks for, on what the corpus' labels allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import torch

from greenbench.config import EvaluateSection
from greenbench.errors import ConfigError, did_you_mean
from greenbench.evaluate.context import Context, Side, TaskLeftOut
from greenbench.evaluate.g2p import REMEDY, available_backends
from greenbench.evaluate.representation import Featurize, Waveforms, silent
from greenbench.evaluate.shuffled import shuffled_labels
from greenbench.evaluate.tasks import FALLBACKS, TASKS
from greenbench.evaluate.transfer import STRATEGIES, run_transfer
from greenbench.evaluate.transfer.table import TRANSFER_TASKS, with_memory_factor
from greenbench.models.base import Upstream
from greenbench.progress import Progress

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

HEADS = ("linear", "recurrent")


class LabelledCorpus(Protocol):
    """What evaluation needs of a corpus."""

    def split(self, name: str) -> Sequence[Utterance]:
        """The utterances of ``train``, ``test`` or ``valid``."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model: ``metrics`` by registry name, ``tasks`` with details, ``left_out`` with reasons."""

    metrics: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate(
    model: Upstream,
    corpus: LabelledCorpus,
    stores: Mapping[str, Waveforms],
    featurize: Featurize,
    settings: EvaluateSection,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    threads: int = 0,
    progress: Progress = silent,
    joules: Callable[[], float | None] | None = None,
    grams_per_joule: float | None = None,
) -> Evaluation:
    """Score the frozen representation of ``model``.

    ``stores`` maps ``train`` and ``test`` to the audio of the corpus' splits; ``featurize`` turns waveforms (B, S)
    into the normalised features (B, T, F) the model was trained on (unused where it reads the waveform). Extraction
    runs on ``device``, probes on the CPU with ``threads`` threads (0: as torch is set). The same seed gives the same
    figures. A task that the labels do not allow is left out with its reason; see :data:`FALLBACKS`.

    Where ``settings.transfer`` names more than ``frozen``, ``tasks["transfer"]`` holds one result per task and
    strategy; ``joules`` returns the machine's cumulative energy for them, None where there is no meter.

    Raises :class:`ConfigError` for an unknown task or head and :class:`TrialFailed` if hidden states are not finite.
    """
    check_settings(settings)
    before = torch.get_num_threads()
    if threads > 0:
        torch.set_num_threads(threads)
    was_training = model.training
    context = Context(
        model=model.eval(),
        train=Side(corpus.split("train"), stores["train"]),
        test=Side(corpus.split(settings.split), stores[settings.split]),
        featurize=featurize,
        seed=seed,
        device=torch.device(device),
        max_train_seconds=settings.max_train_seconds,
        max_test_seconds=settings.max_test_seconds,
        labels=settings.labels,
        heads=settings.heads,
        ctc_beam=settings.ctc_beam,
        progress=progress,
    )
    try:
        # In a trainer's autocast region hidden states and probes would be rounded to 8 bits: all is float32 here.
        with torch.autocast("cpu", enabled=False), torch.autocast(context.device.type, enabled=False):
            evaluation = run_tasks(context, settings.tasks)
            if settings.shuffled:
                _shuffled(context, settings, evaluation)
            if set(settings.transfer) - {"frozen"}:
                _transfer(context, settings, evaluation, joules, grams_per_joule)
            return evaluation
    finally:
        model.train(was_training)
        torch.set_num_threads(before)


def run_tasks(context: Context, tasks: Sequence[str]) -> Evaluation:
    """Run tasks one after the other, replacing those the labels do not allow by their fallback."""
    evaluation = Evaluation()
    queue = list(tasks)
    for name in queue:
        begin = time.monotonic()
        try:
            result = TASKS[name](_named(context, name))
        except TaskLeftOut as reason:
            evaluation.left_out[name] = str(reason)
            fallback = FALLBACKS.get(name)
            if fallback and fallback not in queue:
                queue.append(fallback)
            continue
        evaluation.metrics.update(result.metrics)
        evaluation.tasks[name] = {**result.details, "evaluate_s": round(time.monotonic() - begin, 2)}
    for name, fallback in FALLBACKS.items():
        if name in evaluation.left_out and fallback in evaluation.tasks:
            evaluation.left_out[name] += f"; scored instead: {fallback}"
    return evaluation


def _shuffled(context: Context, settings: EvaluateSection, evaluation: Evaluation) -> None:
    begin = time.monotonic()
    found, left_out = shuffled_labels(_named(context, "shuffled labels"), settings.tasks)
    evaluation.left_out.update(left_out)
    evaluation.tasks["shuffled"] = {"tasks": found, "evaluate_s": round(time.monotonic() - begin, 2)}


def _transfer(
    context: Context,
    settings: EvaluateSection,
    evaluation: Evaluation,
    joules: Callable[[], float | None] | None,
    grams_per_joule: float | None,
) -> None:
    begin = time.monotonic()
    results, left_out = run_transfer(
        _named(context, "transfer"),
        settings.transfer_tasks,
        settings.transfer,
        settings.transfer_budget,
        joules=joules,
        grams_per_joule=grams_per_joule,
    )
    evaluation.left_out.update(left_out)
    evaluation.tasks["transfer"] = {
        "budget_kind": settings.transfer_budget.kind,
        "budget_limit": settings.transfer_budget.limit,
        "results": with_memory_factor([result.as_dict() for result in results]),
        "evaluate_s": round(time.monotonic() - begin, 2),
    }


def check_settings(settings: EvaluateSection) -> None:
    """Raise :class:`ConfigError` for tasks, heads and strategies that do not exist or whose library is missing."""
    for name in settings.tasks:
        if name not in TASKS:
            raise ConfigError(f"[evaluate] tasks: unknown task {name!r}{did_you_mean(name, TASKS)}")
    if "g2p" in settings.tasks and not available_backends():
        raise ConfigError(f"[evaluate] tasks: g2p needs espeak-ng or phonemizer, which are not installed; {REMEDY}")
    for name in settings.heads:
        if name not in HEADS:
            raise ConfigError(f"[evaluate] heads: unknown head {name!r}{did_you_mean(name, HEADS)}")
    for name in settings.transfer:
        if name not in STRATEGIES:
            raise ConfigError(f"[evaluate] transfer: unknown strategy {name!r}{did_you_mean(name, STRATEGIES)}")
    if "lora" in settings.transfer and find_spec("peft") is None:
        raise ConfigError("[evaluate] transfer: 'lora' needs peft; install it: pip install 'greenbench[lora]'")
    for name in settings.transfer_tasks:
        if name not in TRANSFER_TASKS:
            raise ConfigError(f"[evaluate] transfer_tasks: unknown task {name!r}{did_you_mean(name, TRANSFER_TASKS)}")


def _named(context: Context, task: str) -> Context:
    """The context with the task's name in front of every progress text; frames stay shared."""
    report: Progress = context.progress
    return replace(context, progress=lambda text, fraction: report(f"{task}: {text}", fraction))
