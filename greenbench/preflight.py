"""What cannot run is refused before anything is written or trained: one check for ``run`` and for ``plan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil
import torch

from greenbench.config import EvaluateSection, Suite
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.cost.step_memory import step_memory
from greenbench.errors import ConfigError, did_you_mean
from greenbench.evaluate.context import ALL_LABELS
from greenbench.evaluate.runner import check_settings
from greenbench.evaluate.tasks import FALLBACKS
from greenbench.models.registry import check_options
from greenbench.plan import TrialPlan
from greenbench.power.sources.nvml_memory import card_memory
from greenbench.power.sources.options import check_sources, parse_devices
from greenbench.train.precision import pick_device, pick_dtype
from greenbench.units import SAMPLE_RATE, format_bytes

_FLOAT_BYTES = 4
_TIMES_SAMPLES = 50
"""Steps of eco, MelHuBERT and HuBERT at size base take 160 to 1,100 times the memory of their samples."""


def check_trials(suite: Suite, plans: Sequence[TrialPlan]) -> None:
    """Refuse sensors, devices, tasks, batches and model options that cannot be.

    Raises:
        ConfigError: names the key, what was found and what is allowed.
        DeviceError: a torch device that is not there.
    """
    check_sources(suite.power.sources, "[power] sources")
    parse_devices(suite.power.devices, "[power] devices")
    for device in {plan.train.device for plan in plans}:
        pick_device(device)
    check_settings(suite.evaluate)
    for key in ("batch_seconds", "crop_seconds"):
        for seconds in {getattr(plan.train, key) for plan in plans}:
            _check_length(key, seconds)
    for spec in {plan.label: plan.spec for plan in plans if plan.spec}.values():
        check_options(spec)


def _check_length(key: str, seconds: float) -> None:
    """Refuse a batch or a crop whose mere samples exceed the machine's memory; activations need many times as much."""
    needed, there = seconds * SAMPLE_RATE * _FLOAT_BYTES, psutil.virtual_memory().total
    if needed > there:
        raise ConfigError(
            f"[train] {key} = {seconds:g}: samples alone take {format_bytes(int(needed))}, this machine has "
            f"{format_bytes(there)}; seconds to hundreds of seconds are usual"
        )


def check_memory(plans: Sequence[TrialPlan], corpus: Corpus) -> None:
    """Refuse a batch that a card, or this machine, certainly has too little memory for, and say what would fit.

    Certain is what the least estimate of a step says (``greenbench.cost.step_memory``): what comes close is tried.

    Raises:
        ConfigError: names the batch, what it needs, what there is and what would fit.
    """
    audio_s = sum(utterance.duration_s for utterance in corpus.split("pretrain"))
    for plan in {(plan.label, plan.train): plan for plan in plans if plan.trains and plan.spec}.values():
        if not plan.train.activation_checkpointing:  # which no count knows
            _check_fit(plan, audio_s)


def _check_fit(plan: TrialPlan, audio_s: float) -> None:
    train, device = plan.train, pick_device(plan.train.device)
    crops = max(1, round(min(train.batch_seconds, audio_s or train.batch_seconds) / train.crop_seconds))
    place = _place(device, crops * train.crop_seconds)
    if place is None or plan.spec is None:
        return
    name, room_bytes = place
    memory = step_memory(plan.spec, crop_seconds=train.crop_seconds, layer_drop=train.layer_drop)
    needed = memory.least_bytes(crops, pick_dtype(train.dtype, device)) if memory else 0.0
    if memory is None or needed <= room_bytes:
        return
    fitting = memory.crops_within(room_bytes)
    remedy = (
        f"batch_seconds = {fitting * train.crop_seconds:g} would fit (grad_accumulation = {-(-crops // fitting)} keeps "
        "the update's size)"
        if fitting
        else f"not one crop of crop_seconds = {train.crop_seconds:g} fits: lower it, or choose a smaller size"
    )
    raise ConfigError(
        f"[train] batch_seconds = {train.batch_seconds:g}: a step of {plan.label} needs at least "
        f"{format_bytes(int(needed))}, {name} has {format_bytes(room_bytes)}; {remedy}, or activation_checkpointing = "
        "true"
    )


def _place(device: torch.device, batch_s: float) -> tuple[str, int] | None:
    """What a step must fit into, its name and bytes; None where nothing is known, or a count is not worth its time."""
    if device.type == "cuda":
        card = card_memory(f"cuda:{device.index or 0}")
        return None if card is None else (f"{device} ({card.name})", card.total_bytes)
    there = psutil.virtual_memory().total
    # No step takes less than so many times its samples: a common batch on a CPU is not counted for this.
    small = batch_s * SAMPLE_RATE * _FLOAT_BYTES * _TIMES_SAMPLES < there
    return None if small or device.type != "cpu" else ("this machine", there)


def check_labels(settings: EvaluateSection, corpus: Corpus) -> None:
    """Raise :class:`ConfigError` for a split or a set of labels that the scored corpus does not have."""
    if settings.split not in corpus.splits:
        raise ConfigError(
            f"[evaluate] split = {settings.split!r}: corpus {corpus.name} has {', '.join(corpus.splits)}; "
            "leave the key out"
        )
    known = {name for utterance in corpus.split("train") for name in utterance.label_sets} | {ALL_LABELS}
    if settings.labels and settings.labels not in known:
        raise ConfigError(
            f"[evaluate] labels = {settings.labels!r}: corpus {corpus.name} has no such set"
            f"{did_you_mean(settings.labels, known)}; max_train_seconds limits the labels of any corpus"
        )


def unscorable(settings: EvaluateSection, corpus: Corpus) -> str | None:
    """Say why no task that was asked for can be scored with a corpus' labels; None where one can.

    What is found here is only the absence of labels; a task may still be left out for a finer reason.
    """
    if any(_possible(task, corpus, settings.split) for task in settings.tasks):
        return None
    return (
        f"none of [evaluate] tasks ({', '.join(settings.tasks)}) can be scored: corpus {corpus.name} has no labels for "
        f"them in its train and {settings.split} splits; the trials will end without an error figure. Give "
        "evaluate.data a labelled corpus, or labels beside the audio"
    )


def _possible(task: str, corpus: Corpus, scored: str) -> bool:
    needs = _NEEDS.get(task)
    if needs is None:  # tasks that need no label
        return True
    if needs(corpus.splits.get("train", ())) and needs(corpus.splits.get(scored, ())):
        return True
    fallback = FALLBACKS.get(task)
    return fallback is not None and _possible(fallback, corpus, scored)


def _phones(utterances: Sequence[Utterance]) -> bool:
    return any(u.phones for u in utterances)


_NEEDS: dict[str, Callable[[Sequence[Utterance]], bool]] = {
    "phones": _phones,
    "pnmi": _phones,
    "abx": _phones,
    "g2p": lambda utterances: any(u.text for u in utterances),
    "characters": lambda utterances: any(u.text for u in utterances),
    "keywords": lambda utterances: any(u.keyword for u in utterances),
    "speaker": lambda utterances: any(u.speaker for u in utterances),
    "language": lambda utterances: any(u.language for u in utterances),
}
