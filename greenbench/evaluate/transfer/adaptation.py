"""One adaptation: a model, a strategy and a task under a budget, with time, joules, memory and parameters booked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.budget import Ledger
from greenbench.config import BudgetSection
from greenbench.evaluate.context import Context
from greenbench.evaluate.representation import HOP_SAMPLES, Frames, extract, make_batch
from greenbench.evaluate.transfer.memory import peak_extra_bytes, resident_bytes
from greenbench.evaluate.transfer.strategies import Adapted, Strategy
from greenbench.evaluate.transfer.tasks import Crops, TransferTask, loss_of

HEAD_LEARNING_RATE = 1e-2
WARMUP_FRACTION = 0.05
GRAD_CLIP = 1.0
_STATISTICS_STEPS = 4


@dataclass(frozen=True)
class TransferResult:
    """What one strategy reached on one task, and what it cost. Absent figures are None.

    ``peak_memory_bytes`` is parameters, buffers and optimizer state plus the most that one training step allocates on
    top; audio and cached features, which may lie on disk, are not in it. ``energy_j`` and ``duration_s`` cover the
    adaptation (for ``frozen`` with the extraction of its features), not the scoring.
    """

    task: str
    strategy: str
    metric: str
    error_pct: float
    duration_s: float
    energy_j: float | None
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
        """Return the trained share of the model's parameters in percent, the head apart; None without any."""
        return 100.0 * self.trained_params / self.total_params if self.total_params else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        share = self.trained_pct
        return {**asdict(self), "trained_pct": None if share is None else round(share, 3)}


class TransferHead(nn.Module):
    """The same light head for every strategy: standardised layers, softmax-weighted sum, (pooling,) linear.

    Mean and deviation of each layer's dimensions are those of the untouched model.
    """

    def __init__(self, statistics: list[tuple[Tensor, Tensor]], classes: int, *, pooled: bool) -> None:
        super().__init__()
        self.means = [mean for mean, _ in statistics]
        self.scales = [scale for _, scale in statistics]
        self.width = max(len(mean) for mean in self.means)
        self.layer_logits = nn.Parameter(torch.zeros(len(statistics)))
        self.classify = nn.Linear(self.width * (2 if pooled else 1), classes)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)
        self.pooled = pooled

    def forward(self, states: list[Tensor]) -> Tensor:
        """Return logits (B, T, C), or (B, C) where one label belongs to a clip."""
        weights = self.layer_logits.softmax(0)
        total: Tensor | float = 0.0
        for weight, state, mean, scale in zip(weights, states, self.means, self.scales, strict=True):
            # In this order the backward pass needs the states themselves and no standardised copy of them.
            gain = weight * scale
            total = total + F.pad(state * gain - mean * gain, (0, self.width - state.shape[-1]))
        assert isinstance(total, Tensor)
        if self.pooled:
            # The deviation's gradient is infinite at 0, which a silent clip reaches.
            total = torch.cat([total.mean(1), (total.var(1, correction=0) + 1e-5).sqrt()], dim=-1)
        return self.classify(total)


class Source(Protocol):
    """Where a step's hidden states come from: the model, or a cache of its frozen frames."""

    def states(self, crops: Crops) -> list[Tensor]:
        """Return hidden states layer by layer, each (B, T, D)."""


@dataclass
class Live:
    """Hidden states from the (adapted) model."""

    context: Context
    adapted: Adapted
    audio: Sequence[np.ndarray]

    def states(self, crops: Crops) -> list[Tensor]:
        """Run the model on the crops."""
        return self.of_waveforms(torch.from_numpy(crop_waveforms(self.audio, crops)))

    def of_waveforms(self, waveforms: Tensor) -> list[Tensor]:
        """Run the model on waveforms (B, S)."""
        waveforms = waveforms.to(self.context.device)
        return self.adapted.states(make_batch(waveforms, self.context.model, self.context.featurize))


@dataclass
class Cached:
    """Hidden states from frames that were extracted once."""

    frames: Frames
    device: torch.device

    def states(self, crops: Crops) -> list[Tensor]:
        """Cut the crops out of the cache."""
        count, firsts = crops.num_samples // HOP_SAMPLES, crops.starts // HOP_SAMPLES
        begins = self.frames.offsets[crops.positions] + firsts
        rows = begins[:, None] + np.arange(count)
        return [torch.from_numpy(layer[rows]).to(self.device).float() for layer in self.frames.layers]


@dataclass
class Audio:
    """A task's audio as a store."""

    audio: Sequence[np.ndarray]

    def waveform(self, index: int) -> np.ndarray:
        """Return one utterance."""
        return self.audio[index]


def crop_waveforms(audio: Sequence[np.ndarray], crops: Crops) -> np.ndarray:
    """Return the crops' samples, (B, S)."""
    pairs = zip(crops.positions, crops.starts, strict=True)
    return np.stack([audio[p][s : s + crops.num_samples] for p, s in pairs])


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
        head = TransferHead(_statistics(live, task, context.seed), task.classes, pooled=task.pooled).to(context.device)
    ledger = Ledger(budget, live=joules, grams_per_joule=grams_per_joule)
    frozen = strategy.name == "frozen"
    source: Source = live
    if frozen:
        with ledger.phase("features"):
            frames = extract(
                context.model, Audio(task.audio), range(len(task.audio)), context.featurize,
                device=context.device, progress=context.progress,
            )  # fmt: skip
        source = Cached(frames, context.device)
    optimizer = _optimizer(head, adapted, strategy)
    with _metered(ledger):
        _train(head, source, task, optimizer, ledger, generator, context)
    step_bytes = _step_bytes(head, source, task, optimizer, example, context.device)
    stays = [head] if frozen else [head, adapted]
    peak = step_bytes + resident_bytes(stays, optimizer)
    if frozen:
        forward = peak_extra_bytes(lambda: _forward_only(live, example), context.device)
        peak = max(peak, forward + resident_bytes([adapted]))
    error, details = task.score(lambda waves: _predict(head, live, waves))
    spent = ledger.spent()
    return TransferResult(
        task=task.name, strategy=strategy.name, metric=task.metric, error_pct=error,
        duration_s=float(spent["seconds"] or 0.0), energy_j=spent["joules"], steps=ledger.steps,
        audio_h=float(spent["audio_hours"] or 0.0), peak_memory_bytes=peak, step_memory_bytes=step_bytes,
        cache_bytes=source.frames.layers.nbytes if isinstance(source, Cached) else 0,
        trained_params=sum(p.numel() for p in adapted.trained()),
        head_params=sum(p.numel() for p in head.parameters()),
        total_params=sum(p.numel() for p in context.model.parameters()),
        budget_kind=budget.kind, budget_limit=budget.limit, details=details,
    )  # fmt: skip


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
) -> None:
    base = [group["lr"] for group in optimizer.param_groups]
    while ledger.step_fits():
        for group, rate in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = rate * rate_at(ledger.fraction)
        crops = task.sample(generator)
        _step(head, source, task, optimizer, crops)
        ledger.step_done(audio_s=len(crops.positions) * crops.num_samples / 16_000)
        context.progress("adapting", ledger.spent_fraction)


def rate_at(fraction: float) -> float:
    """Return the learning rate's factor at a fraction of the budget: a short rise, then a cosine to 0."""
    rise = (fraction + 1e-3) / WARMUP_FRACTION
    return min(1.0, rise) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def _step(
    head: TransferHead, source: Source, task: TransferTask, optimizer: torch.optim.Optimizer, crops: Crops
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss_of(head(source.states(crops)), task.targets(crops)).backward()
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], GRAD_CLIP)
    optimizer.step()


def _step_bytes(
    head: TransferHead,
    source: Source,
    task: TransferTask,
    optimizer: torch.optim.Optimizer,
    crops: Crops,
    device: torch.device,
) -> int:
    """Return what one more training step allocates; its learning rate is 0, so that it changes no weight."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.zero_grad(set_to_none=True)
    peak = peak_extra_bytes(lambda: _step(head, source, task, optimizer, crops), device)
    optimizer.zero_grad(set_to_none=True)
    return peak


def _optimizer(head: TransferHead, adapted: Adapted, strategy: Strategy) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": list(head.parameters()), "lr": HEAD_LEARNING_RATE}]
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
