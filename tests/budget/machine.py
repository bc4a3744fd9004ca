"""A machine whose clock and energy tests move, and a training on it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from greenbench.budget import Ledger, shrink
from greenbench.config import BudgetSection

POWER_W = 100.0
GRAMS_PER_JOULE = 1e-4
CROPS, SAMPLES = 4, 128_000
AUDIO_S = CROPS * SAMPLES / 16_000


@dataclass
class Machine:
    """A machine with a clock of its own, a power draw, and a counter that moves ``hz`` times a second (0: always)."""

    now_ns: int = 5_000_000_000
    hz: float = 0.0

    def clock(self) -> int:
        return self.now_ns

    def joules(self) -> float:
        now_s = self.now_ns / 1e9
        return POWER_W * (math.floor(now_s * self.hz) / self.hz if self.hz else now_s)

    def work(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass(frozen=True)
class Job:
    """A training whose steps cost this much."""

    step_s: float
    fixed_share: float = 0.1
    noise: float = 0.02
    warmup: float = 5.0
    flops: float = 1e12

    def duration(self, audio_s: float, generator: random.Random, *, first: bool) -> float:
        share = self.fixed_share + (1 - self.fixed_share) * audio_s / AUDIO_S
        return self.step_s * share * generator.lognormvariate(0, self.noise) * (self.warmup if first else 1)


def new_ledger(machine: Machine, kind: str, limit: float, carried: Any = None) -> Ledger:
    budget = BudgetSection(**{kind: limit})
    return Ledger(budget, clock=machine.clock, live=machine.joules, grams_per_joule=GRAMS_PER_JOULE, carried=carried)


def train(ledger: Ledger, machine: Machine, job: Job, *, seed: int = 0, stop_after: int | None = None) -> list[float]:
    """Train as a loop does; return the fractions that the schedule saw."""
    generator = random.Random(seed)
    fractions: list[float] = []
    with ledger.phase("pretrain"):
        while (share := ledger.next_step_share(audio_s=AUDIO_S, flops=job.flops)) > 0:
            if stop_after is not None and len(fractions) >= stop_after:
                break
            fractions.append(ledger.fraction)
            crops, samples = shrink(CROPS, SAMPLES, share)
            audio_s = crops * samples / 16_000
            machine.work(job.duration(audio_s, generator, first=len(fractions) == 1))
            ledger.step_done(audio_s=audio_s, flops=job.flops * audio_s / AUDIO_S)
    return fractions


LIMITS = {"seconds": 45.0, "joules": 4500.0, "grams_co2e": 0.45, "steps": 57.0, "flops": 33.3e12, "audio_hours": 0.123}
