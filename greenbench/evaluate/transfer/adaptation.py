"""One adaptation: a model, a strategy and a task under a budget, with time, joules, memory and parameters booked."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.budget import Ledger
from greenbench.config import BudgetSection
from greenbench.evaluate.context import Context
from greenbench.evaluate.representation import extract, make_batch
from greenbench.evaluate.transfer.head import TransferHead
from greenbench.evaluate.transfer.memory import peak_extra_bytes, resident_bytes
from greenbench.evaluate.transfer.operations import StepFlops, extraction_flops
from greenbench.evaluate.transfer.sources import Audio, Cached, Live, Source, crop_waveforms
from greenbench.evaluate.transfer.strategies import Adapted, Strategy
from greenbench.evaluate.transfer.tasks import Crops, TransferTask

WARMUP_FRACTION = 0.05
GRAD_CLIP = 1.0
_STATISTICS_STEPS = 4


@dataclass(frozen=True)
class TransferResult:
    """What one strategy reached on one task, and what it cost. Absent figures are None.

    ``peak_memory_bytes`` is parameters, buffers and optimizer state plus the most that one training step allocates on
    top; audio and cached features, which may lie on disk, are not in it. ``energy_j``, ``duration_s`` and ``flops``
    (forward and backward) cover the adaptation (for ``frozen`` with the extraction of its features), not the scoring.
    """

    task: str
    strategy: str
    metric: str
    error_pct: float
    duration_s: float
    energy_j: float | None
    flops: float
    steps: int
    audio_h: float
    peak_memory_bytes: int
    step_memory_bytes: int
    cache_bytes: int
    trained_params: int
    head_params: int
    total_params: int
    budget_kind: str
    budget_limit: float
    details: dict[str, Any]

    @property
    def trained_pct(self) -> float | None:
        """The trained share of the model's parameters in percent, the head apart; None without any."""
        return 100.0 * self.trained_params / self.total_params if self.total_params else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        share = self.trained_pct
        return {**asdict(self), "trained_pct": None if share is None else round(share, 3)}


def adapt(
    context: Context,
    task: TransferTask,
    strategy: Strategy,
    budget: BudgetSection,
    *,
    joules: Callable[[], float | None] | None = None,
    grams_per_joule: float | None = None,
) -> TransferResult:
    """Adapt a copy of the context's model to a task and score it; the model itself stays as it was.

    Raises :class:`ConfigError` for a budget whose currency cannot be known here (joules without a meter).
    """
    generator = np.random.default_rng(context.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        example = task.sample(np.random.default_rng(context.seed))
        waveforms = torch.from_numpy(crop_waveforms(task.audio, example)).to(context.device)
        adapted = strategy.prepare(context.model, make_batch(waveforms, context.model, context.featurize))
        live = Live(context, adapted, task.audio)
        head = TransferHead(
            _statistics(live, task, context.seed),
            task.classes,
            pooled=task.pooled,
            stack=task.stack,
            window=task.window,
        ).to(context.device)
    ledger = Ledger(budget, live=joules, grams_per_joule=grams_per_joule)
    frozen = strategy.name == "frozen"
    source: Source = _cached(context, task, ledger) if frozen else live
    optimizer = _optimizer(head, adapted, strategy, task)
    flops = StepFlops.count(task.examples(), lambda crops: _loss(head, source, task, crops).backward())
    with _metered(ledger):
        _train(head, source, task, optimizer, ledger, generator, context, flops)
    step_bytes = _step_bytes(head, source, task, optimizer, example, context.device)
    stays = [head] if frozen else [head, adapted]
    peak = step_bytes + resident_bytes(stays, optimizer)
    if frozen:
        forward = peak_extra_bytes(lambda: _forward_only(live, example), context.device)
        peak = max(peak, forward + resident_bytes([adapted]))
    error, details = task.score(lambda waves: _predict(head, live, waves))
    details["uncounted_ops"] = flops.uncounted
    spent = ledger.spent()
    return TransferResult(
        task=task.name,
        strategy=strategy.name,
        metric=task.metric,
        error_pct=error,
        duration_s=float(spent["seconds"] or 0.0),
        energy_j=spent["joules"],
        flops=float(spent["flops"] or 0.0),
        steps=ledger.steps,
        audio_h=float(spent["audio_hours"] or 0.0),
        peak_memory_bytes=peak,
        step_memory_bytes=step_bytes,
        cache_bytes=source.frames.layers.nbytes if isinstance(source, Cached) else 0,
        trained_params=sum(p.numel() for p in adapted.trained()),
        head_params=sum(p.numel() for p in head.parameters()),
        total_params=sum(p.numel() for p in context.model.parameters()),
        budget_kind=budget.kind,
        budget_limit=budget.limit,
        details=details,
    )


def _cached(context: Context, task: TransferTask, ledger: Ledger) -> Cached:
    """Extract the frozen frames of all training audio, in the budget."""
    with ledger.phase("features"):
        frames = extract(
            context.model,
            Audio(task.audio),
            range(len(task.audio)),
            context.featurize,
            device=context.device,
            progress=context.progress,
        )
    ledger.charge(flops=extraction_flops(context.model, [len(a) for a in task.audio]), origin="features")
    return Cached(frames, context.device)


def _metered(ledger: Ledger) -> AbstractContextManager[None]:
    return ledger.phase("pretrain") if ledger.remaining > 0 else nullcontext()


def _train(
    head: TransferHead,
    source: Source,
    task: TransferTask,
    optimizer: torch.optim.Optimizer,
    ledger: Ledger,
    generator: np.random.Generator,
    context: Context,
    flops: StepFlops,
) -> None:
    base = [group["lr"] for group in optimizer.param_groups]
    crops = task.sample(generator)
    while _fits(ledger, crops.audio_s, flops(crops)):
        for group, rate in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = rate * rate_at(ledger.fraction)
        _step(head, source, task, optimizer, crops)
        ledger.step_done(audio_s=crops.audio_s, flops=flops(crops))
        crops = task.sample(generator)
        context.progress("adapting", ledger.spent_fraction)


def _fits(ledger: Ledger, audio_s: float, flops: float) -> bool:
    """Ask for the next step; in a counted currency its own cost is known before it is taken."""
    if ledger.kind in ("flops", "audio_hours"):
        return ledger.next_step_share(audio_s=audio_s, flops=flops) >= 1.0
    return ledger.step_fits()


def rate_at(fraction: float) -> float:
    """The learning rate's factor at a fraction of the budget: a short rise, then a cosine to 0."""
    rise = (fraction + 1e-3) / WARMUP_FRACTION
    return min(1.0, rise) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def _step(
    head: TransferHead, source: Source, task: TransferTask, optimizer: torch.optim.Optimizer, crops: Crops
) -> None:
    optimizer.zero_grad(set_to_none=True)
    _loss(head, source, task, crops).backward()
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], GRAD_CLIP)
    optimizer.step()


def _loss(head: TransferHead, source: Source, task: TransferTask, crops: Crops) -> Tensor:
    return task.loss(head(source.states(crops)), crops)


def _step_bytes(
    head: TransferHead,
    source: Source,
    task: TransferTask,
    optimizer: torch.optim.Optimizer,
    crops: Crops,
    device: torch.device,
) -> int:
    """What one more training step allocates; its learning rate is 0, so that it changes no weight."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.zero_grad(set_to_none=True)
    peak = peak_extra_bytes(lambda: _step(head, source, task, optimizer, crops), device)
    optimizer.zero_grad(set_to_none=True)
    return peak


def _optimizer(head: TransferHead, adapted: Adapted, strategy: Strategy, task: TransferTask) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": list(head.parameters()), "lr": task.head_learning_rate}]
    if adapted.trained():
        groups.append({"params": adapted.trained(), "lr": strategy.learning_rate})
    return torch.optim.AdamW(groups, weight_decay=0.0)


def _statistics(live: Live, task: TransferTask, seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        steps = [live.states(task.sample(generator)) for _ in range(_STATISTICS_STEPS)]
    result = []
    for layer in range(len(steps[0])):
        rows = torch.cat([step[layer].flatten(0, 1) for step in steps]).float()
        deviation = rows.std(0)
        floor = 1e-3 * float(deviation.median()) + 1e-6
        result.append((rows.mean(0), 1.0 / deviation.clamp(min=floor)))
    return result


def _predict(head: TransferHead, live: Live, waveforms: Tensor) -> Tensor:
    with torch.no_grad():
        return F.log_softmax(head(live.of_waveforms(waveforms)), dim=-1)


def _forward_only(live: Live, crops: Crops) -> None:
    with torch.no_grad():
        live.states(crops)
