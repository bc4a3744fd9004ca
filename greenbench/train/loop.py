"""The pretraining loop: one for all models, stopped by the ledger, resumable to the bit on the CPU."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch

from greenbench.batches.plan import crops_of_a_batch
from greenbench.budget import Ledger, shrink
from greenbench.cards import Recipe
from greenbench.config import TrainSection
from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.draws import Draws
from greenbench.models.layer_drop import layerdrop_owners
from greenbench.records import Journal
from greenbench.train.averaging import WeightAverage
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.memory import checkpoint_activations
from greenbench.train.optimizer import OptimizerSet, build_optimizer
from greenbench.train.precision import attention_backend, autocast
from greenbench.train.schedule import learning_rate_factor
from greenbench.units import SAMPLE_RATE

WARMUP_STEPS = 5


class Loader(Protocol):
    """What the loop needs of a batch source."""

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, index) of the next batch."""

    def __next__(self) -> Batch:
        """The next batch of the plan."""

    def peek(self) -> tuple[int, int]:
        """(crops, samples a crop) of the batch that comes next."""

    def seek(self, epoch: int, index: int) -> None:
        """Continue at a position of the plan."""


@dataclass
class LoopState:
    """Where training stands; everything that a checkpoint must carry besides tensors and the ledger."""

    step: int = 0
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    audio_s: float = 0.0
    steady_audio_s: float = 0.0
    steady_s: float = 0.0
    stage: int = 0
    """How often the model's targets were made anew."""
    stage_began: float | None = 0.0
    """The fraction of the budget at which this stage's first step was taken; None before it."""


class Diverged(Exception):
    """The loss is not finite."""


class Pretraining:
    """Everything one pretraining holds together: model, optimizer, data position, ledger, journal."""

    def __init__(
        self,
        model: Upstream,
        loader: Loader,
        ledger: Ledger,
        recipe: Recipe,
        settings: TrainSection,
        *,
        seed: int,
        device: torch.device,
        dtype: str,
        flops_of_batch: Callable[[int, int], float],
        journal: Journal,
        checkpoints: CheckpointStore,
        stop_requested: Callable[[], bool],
        checkpoint_phase: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.model, self.loader, self.ledger, self.recipe, self.settings = model, loader, ledger, recipe, settings
        self.device, self.dtype, self.flops_of_batch = device, dtype, flops_of_batch
        self.journal, self.checkpoints = journal, checkpoints
        self.stop_requested, self.checkpoint_phase = stop_requested, checkpoint_phase
        self.optimizer: OptimizerSet = build_optimizer(model, recipe, fused=settings.fused_optimizer)
        parameters = model.pretraining_parameters()
        self.average = WeightAverage(parameters, settings.ema_decay) if settings.ema_decay else None
        if settings.activation_checkpointing:
            checkpoint_activations(model)
        self.generator = torch.Generator().manual_seed(seed)
        self.draws = Draws(seed, device=device)
        model.place_targets(device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == "float16")
        self.state = LoopState()
        self._forward = compiled(model, settings) if settings.compile else model.loss
        self._logged_at = -math.inf
        self._saved_at = time.monotonic()
        self._in_flight: deque[Any] = deque()

    def loss_of(self, batch: Batch, info: StepInfo, *, share: float = 1.0) -> tuple[torch.Tensor, dict[str, Any]]:
        """A batch's loss, a scalar, and figures for the journal, in the number format of training.

        A batch of a shape that does not come again, cut to ``share`` or the last of an epoch, is not compiled for.
        """
        with autocast(self.device, self.dtype):
            loss, extras = (self._forward if share >= 1 and self._recurs(batch) else self.model.loss)(batch, info)
        return loss, extras

    def _recurs(self, batch: Batch) -> bool:
        usual = crops_of_a_batch(int(self.settings.batch_seconds * SAMPLE_RATE), batch.num_samples)
        return not self.settings.crop_lengths or batch.size == usual

    def step_info(self) -> StepInfo:
        """Say where training stands, and let the draws stand there."""
        draws = self.draws.go_to(self.state.step)
        return StepInfo(self.state.step, min(1.0, self.ledger.fraction), self.generator, draws)

    def run(self) -> Literal["finished", "stopped", "targets"]:
        """Train until the budget ends, a stop is requested (a checkpoint is written) or targets are to be made anew.

        After ``targets`` the caller makes them, calls :meth:`begin_stage` and runs on.
        """
        self.model.train()
        if self.state.stage_began is None:
            self.state.stage_began = self.ledger.fraction
        with attention_backend(self.settings.sdpa):
            while (share := self._next_share()) > 0:
                if self.stop_requested():
                    self.save("interrupted")
                    return "stopped"
                if self._stage_is_over():
                    if self.device.type == "cuda":
                        torch.cuda.synchronize(self.device)
                    return "targets"
                self._step(share)
                if time.monotonic() - self._saved_at >= self.settings.checkpoint_seconds:
                    self.save("interval")
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._log(force=True)
        return "finished"

    def _stage_is_over(self) -> bool:
        ends = self.model.relabel_at
        return self.state.stage < len(ends) and self.ledger.fraction >= ends[self.state.stage]

    def begin_stage(self, fresh: Upstream | None = None) -> None:
        """Go on with new targets: with the weights of ``fresh`` and a new optimizer, or with the old ones."""
        self.state.stage += 1
        self.state.stage_began = None
        self.model.place_targets(self.device)
        if fresh is not None:
            # Buffers stay: what the input is normalised by was fitted once.
            self.model.load_state_dict({**self.model.state_dict(), **dict(fresh.named_parameters())})
            self.optimizer = build_optimizer(self.model, self.recipe, fused=self.settings.fused_optimizer)
            if self.average is not None:
                self.average = WeightAverage(self.model.pretraining_parameters(), self.settings.ema_decay)

    def _schedule_position(self, fraction: float) -> float:
        """Where the learning rate's schedule stands: in the stage, where each begins with fresh weights."""
        if not self.model.restarts:
            return fraction
        begin, end = self.state.stage_began or 0.0, (*self.model.relabel_at, 1.0)[self.state.stage]
        return 1.0 if end <= begin else min(1.0, (fraction - begin) / (end - begin))

    def adopt_average(self) -> None:
        """Put the weights' moving average in their place, where there is one: it is what gets evaluated."""
        if self.average is not None:
            self.average.adopt()

    def _next_share(self) -> float:
        """Ask the ledger for the next step, telling it what a whole one costs in audio and FLOPs."""
        crops, samples = self.loader.peek()
        crops *= self.settings.grad_accumulation
        share = self.ledger.next_step_share(
            audio_s=crops * samples / SAMPLE_RATE, flops=self.flops_of_batch(crops, samples)
        )
        if share < 1 and self.device.type == "cuda":
            # Near the end the ledger must know what was really spent, not what was queued.
            torch.cuda.synchronize(self.device)
        return share

    def _step(self, share: float) -> None:
        began_ns = time.monotonic_ns()
        info = self.step_info()
        factor = learning_rate_factor(self._schedule_position(info.fraction), self.recipe)
        parts = max(1, self.settings.grad_accumulation)
        audio_s, flops, loss_sum = 0.0, 0.0, torch.zeros((), device=self.device)
        extras: dict[str, Any] = {}
        for part in range(parts):
            self.draws.go_to(self.state.step, part=part)
            batch = cut(next(self.loader), share)
            loss, extras = self.loss_of(batch, info, share=share)
            self.scaler.scale(loss / parts).backward()
            loss_sum += loss.detach() / parts
            audio_s += batch.audio_s
            flops += self.flops_of_batch(batch.size, batch.num_samples)
        self._update(factor)
        if self.average is not None:
            self.average.update(self.state.step)
        self.model.after_step(info)
        self._bound_queue()
        self.state.step += 1
        self.state.audio_s += audio_s
        self._account(loss_sum, factor, audio_s, (time.monotonic_ns() - began_ns) / 1e9)
        self.ledger.step_done(audio_s=audio_s, flops=flops)
        self._log(factor=factor, extras=extras)

    def _update(self, factor: float) -> None:
        clip = self.recipe.grad_clip
        if self.scaler.is_enabled():
            self.optimizer.scaled_step(factor, grad_clip=clip, scaler=self.scaler)
        else:
            self.optimizer.step(factor, grad_clip=clip)

    def _bound_queue(self) -> None:
        """Let the GPU run at most two steps ahead, so that the ledger's clock is the work's clock."""
        if self.device.type != "cuda":
            return
        event = torch.cuda.Event()
        event.record()
        self._in_flight.append(event)
        if len(self._in_flight) > 2:
            self._in_flight.popleft().synchronize()

    def _account(self, loss: torch.Tensor, factor: float, audio_s: float, step_s: float) -> None:
        if self.device.type == "cpu" or self.state.step % 20 == 0:
            value = float(loss)
            # float16 overflows are skipped and rescaled; anything else that is not finite does not come back.
            if not math.isfinite(value) and not self.scaler.is_enabled():
                raise Diverged(
                    f"loss is {value} at step {self.state.step} (rate factor {factor:.3g}); lower learning_rate"
                )
            self.state.losses.append(value)
        if self.state.step > WARMUP_STEPS:
            self.state.steady_audio_s += audio_s
            self.state.steady_s += step_s

    def _log(self, *, factor: float | None = None, extras: dict[str, Any] | None = None, force: bool = False) -> None:
        now = time.monotonic()
        if (not force and now - self._logged_at < self.settings.log_seconds) or not self.state.losses:
            return
        self._logged_at = now
        spent = self.ledger.spent()
        figures = {k: float(v) for k, v in (extras or {}).items()}
        recent = list(self.state.losses)[-20:]
        self.journal.write(
            step=self.state.step,
            audio_s=round(self.state.audio_s, 3),
            loss=sum(recent) / len(recent),
            lr=None if factor is None else self.recipe.learning_rate * factor,
            fraction=self.ledger.fraction,
            spent=spent[self.ledger.kind],
            seconds=spent["seconds"],
            joules=spent["joules"],
            flops=spent["flops"],
            grams=spent["grams_co2e"],
            audio_s_per_s=self.audio_s_per_s,
            **figures,
        )

    @property
    def audio_s_per_s(self) -> float | None:
        """Seconds of audio trained on per second, the first steps left out; None before that."""
        return self.state.steady_audio_s / self.state.steady_s if self.state.steady_s else None

    @property
    def final_loss(self) -> float | None:
        """The mean loss of the last tenth of the steps (of those kept)."""
        losses = list(self.state.losses)
        tail = losses[-max(1, len(losses) // 10) :]
        return sum(tail) / len(tail) if tail else None

    def save(self, reason: str) -> None:
        """Write a checkpoint; the ledger does not charge for it."""
        with self.checkpoint_phase(reason):
            tensors = {
                "model": dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_tensors(),
                "generators": {"loop": self.generator.get_state(), "torch": torch.get_rng_state()},
            }
            if self.device.type == "cuda":
                tensors["generators"]["cuda"] = torch.cuda.get_rng_state(self.device)
            if self.average is not None:
                tensors["average"] = self.average.state_tensors()
            numpy_state = np.random.get_state(legacy=False)
            self.checkpoints.save(
                tensors,
                {
                    "step": self.state.step,
                    "position": list(self.loader.position),
                    "ledger": self.ledger.state(),
                    "losses": list(self.state.losses),
                    "audio_s": self.state.audio_s,
                    "steady_audio_s": self.state.steady_audio_s,
                    "steady_s": self.state.steady_s,
                    "stage": self.state.stage,
                    "stage_began": self.state.stage_began,
                    "scaler": self.scaler.state_dict(),
                    "numpy": _plain(numpy_state),
                    "reason": reason,
                    "t_mono_ns": time.monotonic_ns(),
                },
            )
        self._saved_at = time.monotonic()

    def restore(self, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> None:
        """Continue from a checkpoint, to the bit: weights, optimizer, generators, data position."""
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_tensors(tensors.get("optimizer", {}))
        if self.average is not None:
            self.average.load_state_tensors(tensors["average"])
        self.generator.set_state(tensors["generators"]["loop"])
        torch.set_rng_state(tensors["generators"]["torch"])
        if self.device.type == "cuda" and "cuda" in tensors["generators"]:
            torch.cuda.set_rng_state(tensors["generators"]["cuda"], self.device)
        np.random.set_state(_numpy_state(state["numpy"]))
        self.scaler.load_state_dict(state["scaler"])
        self.loader.seek(*state["position"])
        self.state = LoopState(
            state["step"],
            deque(state["losses"], maxlen=4096),
            state["audio_s"],
            state["steady_audio_s"],
            state["steady_s"],
            state.get("stage", 0),
            state.get("stage_began", 0.0),
        )


def compiled(model: Upstream, settings: TrainSection) -> Callable[[Batch, StepInfo], Any]:
    """Compile the loss: as one graph where the model has one, and for each shape apart where there are few."""
    drops_layers = any(owner.layerdrop for owner in layerdrop_owners(model))
    dynamic = False if settings.crop_lengths else None
    return torch.compile(model.loss, fullgraph=model.one_graph and not drops_layers, dynamic=dynamic)


def cut(batch: Batch, share: float) -> Batch:
    """Cut a batch to a share of its audio, so that the last step lands on the budget."""
    if share >= 1:
        return batch
    crops, samples = shrink(batch.size, batch.num_samples, share)
    waveform, features = batch.waveform, batch.features
    if features is not None:
        features = features[:crops, : features.shape[1] * samples // batch.num_samples]
    if waveform is not None:
        waveform = waveform[:crops, :samples]
    origins = None if batch.origins is None else batch.origins[:crops]
    return Batch(waveform, features, samples, batch.utterances[:crops], batch.starts[:crops], origins)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    inner = {k: (v.tolist() if isinstance(v, np.ndarray) else v) for k, v in state["state"].items()}
    return {**{k: v for k, v in state.items() if k != "state"}, "state": inner}


def _numpy_state(plain: dict[str, Any]) -> dict[str, Any]:
    return {**plain, "state": {**plain["state"], "key": np.array(plain["state"]["key"], dtype=np.uint32)}}
