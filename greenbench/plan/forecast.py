"""What a suite will take: counted FLOPs and memory, and seconds and energy from a stated guess of the speed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from greenbench.cards import card_names, resolve
from greenbench.config import Suite
from greenbench.plan.matrix import TrialPlan, expand
from greenbench.plan.step import LONGEST_STEP_S, try_step
from greenbench.records import Trial
from greenbench.units import SAMPLE_RATE, SECONDS_PER_HOUR, joules_to_kwh

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec
    from greenbench.cost import Cost

UTILISATION = 0.4
"""Guess: the share of a large matrix product's speed that a whole training step reaches."""
GPU_LOAD = 0.6
"""Guess: mean power of a training on a GPU, as a part of its power limit."""

SETUP_S, TARGETS_S, PROBES_S = 6.0, 1.0, 10.0
"""Guesses, seconds a trial on two cores: loading and counting; k-means of a small model; probes of the default tasks.

Measured over the 15 trials of reports/cpu-2core/quickstart: setup 0.1 to 4 s and 2 s of starting processes; targets 0.9
to 1.1 s; evaluation of log-mel, which is almost all probes, 6.5 s, of models 16 to 22 s with their forward passes.
"""
AROUND_TRAINING_S = SETUP_S + TARGETS_S + 2 * PROBES_S
"""What a small trial takes beside its training and its idle interval."""


@dataclass(frozen=True)
class Throughput:
    """How fast the machine trains: ``flops_per_s`` for any model, ``audio_s_per_s`` by (card, size) where known.

    ``around_s`` is what a trial took beside its training, by (card or control, size), ``grown_bytes`` by how much a
    process grew with a tried step. ``power_w`` is the mean power of
    a training, None where nothing says. ``source`` says where all this is from.
    """

    flops_per_s: float
    source: str
    audio_s_per_s: Mapping[tuple[str, str], float] | None = None
    power_w: float | None = None
    power_source: str = ""
    around_s: Mapping[tuple[str, str], float] | None = None
    grown_bytes: Mapping[tuple[str, str], int] | None = None


def measure_matmul(device: str = "cpu", *, dtype: str = "float32", seconds: float = 0.4, size: int = 1024) -> float:
    """The FLOP/s of a square matrix product on ``device``, the fastest of repeats within ``seconds``."""
    import torch

    left = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
    right = torch.randn_like(left)

    def once() -> float:
        began = time.perf_counter()
        product = left @ right
        float(product[0, 0])  # waits for the device
        return time.perf_counter() - began

    once()
    ends = time.perf_counter() + seconds
    fastest = once()
    while time.perf_counter() < ends:
        fastest = min(fastest, once())
    return 2.0 * size**3 / fastest


def throughput_from(trials: Sequence[Trial]) -> Throughput | None:
    """The throughput that earlier runs had, or None without a complete one. Give runs of this machine only."""
    speeds: dict[tuple[str, str], list[float]] = {}
    throughputs: list[float] = []
    watts: list[float] = []
    around: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        seconds, flops = trial.figure("pretrain_s"), trial.figure("pretrain_flops")
        if (wall_s := trial.figure("wall_s")) and trial.usable:
            key = (trial.control.partition(":")[0] or trial.card, trial.size)
            around.setdefault(key, []).append(wall_s - (seconds or 0.0))
        if not (seconds and flops):
            continue
        throughputs.append(flops / seconds)
        if audio_rate := trial.figure("audio_s_per_s"):
            speeds.setdefault((trial.card, trial.size), []).append(audio_rate)
        if mean_w := trial.figure("mean_power_w"):
            watts.append(mean_w)
    if not throughputs:
        return None
    return Throughput(
        flops_per_s=median(throughputs),
        source=f"{len(throughputs)} earlier run{'s' * (len(throughputs) > 1)}",
        audio_s_per_s={key: median(values) for key, values in speeds.items()},
        power_w=median(watts) if watts else None,
        power_source="earlier runs" if watts else "",
        around_s={key: median(values) for key, values in around.items()},
    )


def predict(
    suite: Suite,
    plans: Sequence[TrialPlan] | None = None,
    *,
    throughput: Throughput | None = None,
    history: Sequence[Trial] = (),
    grams_per_joule: float | None = None,
    pretrain_audio_s: float | None = None,
    scored_audio_s: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What each trial and the whole suite are foreseen to take; nothing is trained.

    FLOPs per second of audio and memory are counted on the model's graph. Seconds and energy follow from
    ``throughput``: given, or that of ``history``, or a short matrix product on this machine. None stands where nothing
    is known (energy without a power figure). ``pretrain_audio_s`` is the length of the corpus, for feature passes,
    ``scored_audio_s`` that of the splits ``train`` and ``test`` that evaluation reads.

    Without history a model's speed on the CPU is that of a few of its steps on noise, where a step takes seconds at
    most, else a guess from a matrix product. ``wall_seconds`` are those of the whole trial: idle interval, setup,
    training and evaluation. Memory is that of the process.
    """
    plans = expand(suite) if plans is None else plans
    known = throughput or throughput_from(history)
    speed = known or _measured(suite)
    costs: dict[str, Cost | None] = {}
    base_bytes = _process_bytes(pretrain_audio_s or 0.0)
    trials = []
    for plan in plans:
        own = replace(suite, train=plan.train)
        if plan.label not in costs:
            spec = _spec(plan, suite)
            costs[plan.label] = _cost(spec, own) if spec else None
            if known is None:
                speed = _with_step(speed, plan, own, costs[plan.label])
        surroundings = _Surroundings(grams_per_joule, pretrain_audio_s, scored_audio_s or {}, base_bytes)
        trials.append(_trial(plan, own, costs[plan.label], speed, surroundings))
    summed = ("seconds", "flops", "evaluate_seconds", "wall_seconds", "energy_kwh", "co2e_g")
    total = {key: _sum([t[key] for t in trials if t[key] is not None or not t["control"]]) for key in summed}
    return {
        "suite": suite.suite.name,
        "budget": {"kind": suite.budget.kind, "limit": suite.budget.limit},
        "trials": trials,
        "total": {**total, "trials": len(trials), **_largest(trials)},
        "throughput": {k: v for k, v in asdict(speed).items() if k not in ("audio_s_per_s", "around_s", "grown_bytes")},
        "guessed": _guesses(speed),
    }


@dataclass(frozen=True)
class _Surroundings:
    """What all trials of a suite share: the grid, the audio to train on and to score with, the bare process."""

    grams_per_joule: float | None
    pretrain_audio_s: float | None
    scored_audio_s: Mapping[str, float]
    process_bytes: int


def _with_step(speed: Throughput, plan: TrialPlan, suite: Suite, cost: Cost | None) -> Throughput:
    """Add the measured speed of a model's step, where it trains on the CPU and its step is not too long to try."""
    per_audio_s = (cost.flops_train_per_audio_s or 0.0) if cost else 0.0
    guess_s = per_audio_s * max(suite.train.batch_seconds, suite.train.crop_seconds) / speed.flops_per_s
    if not (plan.trains and plan.spec and _on_cpu(suite) and 0 < guess_s < LONGEST_STEP_S):
        return speed
    key, tried = (plan.spec.card, plan.spec.size), try_step(plan.spec, suite.train)
    return replace(
        speed,
        audio_s_per_s={**(speed.audio_s_per_s or {}), key: tried.audio_s_per_s},
        grown_bytes={**(speed.grown_bytes or {}), key: tried.grown_bytes},
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _process_bytes(audio_s: float) -> int:
    """Memory of a trainer beside its model: what this process holds with torch loaded, and 16-bit audio that is mapped.

    Planning loads the same libraries as training does.
    """
    import psutil

    return int(psutil.Process().memory_info().rss + 2 * SAMPLE_RATE * audio_s)


def _trial(
    plan: TrialPlan, suite: Suite, cost: Cost | None, speed: Throughput, shared: _Surroundings
) -> dict[str, Any]:
    grams_per_joule, pretrain_audio_s = shared.grams_per_joule, shared.pretrain_audio_s
    per_audio_s = (cost.flops_train_per_audio_s or 0.0) if cost and plan.trains else 0.0
    trained = bool(per_audio_s)
    known = (speed.audio_s_per_s or {}).get((plan.spec.card, plan.spec.size)) if plan.spec else None
    audio_rate = (known or speed.flops_per_s / per_audio_s) if trained else None
    seconds, audio_s = _extent(suite, audio_rate, per_audio_s, speed, grams_per_joule) if trained else (0.0, 0.0)
    flops = None if audio_s is None else audio_s * per_audio_s
    if cost and trained and flops is not None and pretrain_audio_s:
        flops += (cost.flops_features_per_audio_s or 0.0) * pretrain_audio_s
    evaluate_s = _evaluate_seconds(suite, cost, speed, shared.scored_audio_s)
    wall_s = _wall_seconds(plan, suite, speed, seconds, evaluate_s)
    energy_j = None
    if speed.power_w is not None and seconds is not None and evaluate_s is not None:
        energy_j = (seconds + evaluate_s) * speed.power_w
    memory = cost.peak_train_memory_bytes if cost and trained else None
    return {
        "folder": plan.folder_name,
        "label": plan.label,
        "seed": plan.seed,
        "control": plan.control,
        "params": cost.params if cost else None,
        "seconds": seconds,
        "audio_hours": None if audio_s is None else audio_s / SECONDS_PER_HOUR,
        "steps": None if audio_s is None else round(audio_s / _step_audio_s(suite)),
        "flops": flops,
        "flops_train_per_audio_s": cost.flops_train_per_audio_s if cost and plan.trains else None,
        "peak_memory_bytes": memory,
        "process_memory_bytes": _process_memory(plan, suite, memory, speed, shared.process_bytes),
        "evaluate_seconds": evaluate_s,
        "wall_seconds": wall_s,
        "energy_kwh": None if energy_j is None else joules_to_kwh(energy_j),
        "co2e_g": None if energy_j is None or grams_per_joule is None else energy_j * grams_per_joule,
        "speed_source": _speed_source(speed, measured=known is not None),
    }


def _process_memory(
    plan: TrialPlan, suite: Suite, counted: int | None, speed: Throughput, bare_bytes: int
) -> int | None:
    """Memory of the whole trainer: on a CPU the bare process and the greater of what was counted and what was tried."""
    if counted is None or plan.spec is None:
        return None
    if not _on_cpu(suite):
        return counted
    tried = (speed.grown_bytes or {}).get((plan.spec.card, plan.spec.size), 0)
    return bare_bytes + max(counted, tried)


def _speed_source(speed: Throughput, *, measured: bool) -> str:
    if not measured:
        return speed.source
    return "earlier runs of this model" if speed.around_s is not None else "a few of its steps on noise, measured here"


def _wall_seconds(
    plan: TrialPlan, suite: Suite, speed: Throughput, seconds: float | None, evaluate_s: float | None
) -> float | None:
    """The seconds of a whole trial: those of earlier runs around the training, else guesses."""
    if seconds is None or evaluate_s is None:
        return None
    key = (plan.control.partition(":")[0] or (plan.spec.card if plan.spec else ""), plan.size)
    around_s = (speed.around_s or {}).get(key)
    if around_s is None:
        preparing_s = TARGETS_S if plan.trains and suite.budget.kind != "seconds" else 0.0
        around_s = suite.protocol.idle_seconds + SETUP_S + preparing_s + evaluate_s
    return seconds + around_s + suite.protocol.cooldown_seconds


def _extent(
    suite: Suite, audio_rate: float | None, per_audio_s: float, speed: Throughput, grams_per_joule: float | None
) -> tuple[float | None, float | None]:
    """(seconds, audio seconds) at which the budget ends."""
    kind, limit = suite.budget.kind, suite.budget.limit
    assert audio_rate is not None
    counted = {
        "flops": limit / per_audio_s,
        "audio_hours": limit * SECONDS_PER_HOUR,
        "steps": limit * _step_audio_s(suite),
    }
    if kind in counted:
        return counted[kind] / audio_rate, counted[kind]
    joules = {"joules": limit, "grams_co2e": limit / grams_per_joule if grams_per_joule else None}.get(kind)
    if kind == "seconds":
        seconds: float | None = limit
    else:
        seconds = None if joules is None or not speed.power_w else joules / speed.power_w
    return seconds, None if seconds is None else seconds * audio_rate


def _spec(plan: TrialPlan, suite: Suite) -> ModelSpec | None:
    """The model behind a trial; the control ``logmel`` is one where a card says so."""
    if plan.spec is not None or plan.control not in card_names():
        return plan.spec
    return resolve(plan.control, suite.suite.size)


def _evaluate_seconds(suite: Suite, cost: Cost | None, speed: Throughput, there_s: Mapping[str, float]) -> float | None:
    """Passes over the audio of every task, as far as there is so much, and a guess for the probes."""
    settings = suite.evaluate
    if not settings.tasks:
        return 0.0
    if cost is None:
        return PROBES_S
    limits = {"train": settings.max_train_seconds, "test": settings.max_test_seconds}
    each_s = sum(min(limit, there_s.get(split, limit)) for split, limit in limits.items())
    passes_s = len(settings.tasks) * each_s * (cost.flops_forward_per_audio_s or 0.0) / speed.flops_per_s
    return passes_s + PROBES_S


def _on_cpu(suite: Suite) -> bool:
    return suite.train.device == "cpu" or (suite.train.device == "auto" and not _has_gpu())


def _step_audio_s(suite: Suite) -> float:
    return suite.train.batch_seconds * suite.train.grad_accumulation


def _cost(spec: ModelSpec, suite: Suite) -> Cost:
    from greenbench.cost.stored import stored_cost

    crops = max(1, round(suite.train.batch_seconds / suite.train.crop_seconds))
    return stored_cost(
        spec, seconds=suite.train.crop_seconds, batch=crops, fvcore=False, layer_drop=suite.train.layer_drop
    )


def _measured(suite: Suite) -> Throughput:
    import torch

    device = suite.train.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = suite.train.dtype if suite.train.dtype != "auto" else ("bfloat16" if device != "cpu" else "float32")
    matmul = measure_matmul(device, dtype=dtype, size=1024 if device == "cpu" else 4096)
    watts, text = _busy_power(suite, device)
    return Throughput(
        UTILISATION * matmul,
        f"{UTILISATION:g} x a matrix product measured here at {matmul / 1e9:.0f} GFLOP/s",
        None,
        watts,
        text,
    )


def _busy_power(suite: Suite, device: str) -> tuple[float | None, str]:
    """A modelled power of training: all visible threads busy, or a part of the GPU's power limit."""
    if device == "cpu":
        from greenbench.power.sources.tdp import find

        power = find(suite.power.tdp_w)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        return power.per_thread_w * threads, f"modelled: {threads} busy threads of {power.model}"
    import pynvml

    try:
        pynvml.nvmlInit()
        limit_w = pynvml.nvmlDeviceGetPowerManagementLimit(pynvml.nvmlDeviceGetHandleByIndex(0)) / 1000
    except pynvml.NVMLError:
        return None, ""
    return GPU_LOAD * limit_w, f"modelled: {GPU_LOAD:g} x the power limit of {limit_w:.0f} W"


def _guesses(speed: Throughput) -> list[str]:
    source = speed.source if speed.around_s is not None else f"a few steps on noise, else {speed.source}"
    guesses = [f"seconds, audio and steps: speed from {source}"]
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if speed.around_s is None and load > cores:
        guesses.append(f"this machine is busy (load {load:.1f} on {cores} cores): on a quiet one all is faster")
    if speed.power_w is None:
        guesses.append("energy: no power figure, left empty; give earlier runs of this machine")
    else:
        guesses.append(f"energy: {speed.power_w:.3g} W, {speed.power_source}")
    guesses += [
        f"in all: {SETUP_S:g} s to set up, {PROBES_S:g} s for probes are guesses of small models on two cores"
        if speed.around_s is None
        else "in all: what earlier runs took around their training",
        "memory: of the process, from a few steps or from a simulated peak of weights, optimizer and activations",
    ]
    return guesses


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if len(known) == len(values) else None


def _largest(trials: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    names = ("peak_memory_bytes", "process_memory_bytes")
    return {name: max((t[name] for t in trials if t[name]), default=None) for name in names}
