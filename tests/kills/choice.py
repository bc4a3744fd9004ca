"""Which kills: of whom, in which phase, at which operation, beside which trouble; all of it chosen by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.kills.stops import Stop

PHASES = {"start": 15, "features": 12, "targets": 13, "training": 20, "checkpoint": 16, "evaluation": 12, "result": 12}
"""Shares of a hundred kills."""
VICTIMS = {"harness": 25, "trainer": 35, "sampler": 18, "all": 22}
DAY_S = 86_400.0
CLOCK_STEPS_S = (-30 * DAY_S, -3600.0, -1.5, 2.0, 3600.0, 400 * DAY_S)
TROUBLED = 10


@dataclass(frozen=True)
class Kill:
    """One kill: who is hit at which stop, after going on for ``delay_s``, beside a full disk or a clock that steps."""

    number: int
    phase: str
    victim: str
    stop: Stop
    delay_s: float
    trouble: str = ""
    clock_step_s: float = 0.0
    free_bytes: int = 0
    at_once: bool = False
    """Whether the command is started again before the last process of the killed run is gone."""


def choose(seed: int, many: int, place: Path) -> list[Kill]:
    """Choose ``many`` kills of runs whose folders lie below ``place``; of a hundred, ten beside each trouble."""
    rng = random.Random(f"kills {seed}")
    phases = _shared_out(PHASES, many)
    victims = _shared_out(VICTIMS, many)
    troubled = round(many * TROUBLED / 100)
    troubles = ["disk"] * troubled + ["clock"] * troubled + [""] * (many - 2 * troubled)
    for values in (phases, victims, troubles):
        rng.shuffle(values)
    return [_kill(rng, *row, place) for row in zip(range(many), phases, victims, troubles, strict=True)]


def _shared_out(shares: dict[str, int], many: int) -> list[str]:
    names = [name for name, share in shares.items() for _ in range(share)]
    return [names[i * len(names) // many] for i in range(many)]


def _kill(rng: random.Random, number: int, phase: str, victim: str, trouble: str, place: Path) -> Kill:
    stop, longest_s = _stop(rng, phase, str(place))
    return Kill(
        number,
        phase,
        victim,
        stop,
        rng.uniform(0, longest_s) if trouble != "disk" else rng.uniform(0, 0.3),
        trouble,
        rng.choice(CLOCK_STEPS_S),
        rng.choice((0, 4096, 16_384, 65_536)),
        rng.random() < 0.5,
    )


def _begin(phase: str) -> str:
    return f'"event": "begin", "phase": "{phase}"'


def _stop(rng: random.Random, phase: str, place: str) -> tuple[Stop, float]:
    """Choose an operation of a phase, and for how long the process may go on after it, in seconds."""
    after = rng.random() < 0.5
    if phase == "start":
        return rng.choice(
            (
                (Stop("harness", path=place, nth=rng.randint(1, 14), after=after), 0.0),
                (Stop("harness", path=place, nth=rng.randint(1, 6), after=after), 0.3),
                (Stop("harness", op="write", path="events.jsonl", needle='"session"', after=after), 0.1),
                (Stop("sampler", path=place, nth=rng.randint(1, 4), after=after), 0.0),
                (Stop("trainer", op="open", path=".worker.lock", after=after), 0.0),
                (Stop("trainer", gate=_begin("setup"), gate_nth=1, nth=0), 0.4),
            )
        )
    if phase == "result":
        return rng.choice(
            (
                (Stop("trainer", path="outcome.json", nth=rng.randint(1, 3), after=after), 0.0),
                (Stop("harness", op="write", path="events.jsonl", needle='"exit"', after=after), 0.0),
                (Stop("harness", path="result.json", nth=rng.randint(1, 3), after=after), 0.0),
                (Stop("harness", path="/report", nth=rng.randint(1, 12), after=after), 0.0),
            )
        )
    if phase == "training":
        nth = rng.randint(1, 5)
        return Stop("trainer", _begin("pretrain"), 1, "write", "metrics.jsonl", nth=nth, after=after), 0.02
    if phase == "checkpoint":
        return Stop(
            "trainer", _begin("checkpoint"), rng.randint(1, 2), path=place, nth=rng.randint(1, 14), after=after
        ), 0
    if phase == "features":
        nth = rng.choice((0, rng.randint(1, 12)))
        return Stop("trainer", _begin("features"), 1, path=place, nth=nth, after=after), 0.0 if nth else 0.01
    # The first write behind the beginning of these is their progress or their end.
    name, longest_s = {"targets": ("targets", 0.02), "evaluation": ("evaluate", 0.02)}[phase]
    nth = rng.randint(0, 1)
    return Stop("trainer", _begin(name), 1, op="write", path=place, nth=nth), 0.0 if nth else longest_s
