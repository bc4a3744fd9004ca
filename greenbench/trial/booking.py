"""One session of a trial: what it was asked to do, the phases it books, and the journals it writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenbench.budget import Ledger
from greenbench.cards import ModelSpec, Recipe
from greenbench.config import Suite, TrainSection, suite_from_table
from greenbench.errors import GreenbenchError
from greenbench.records import EVENTS, LIVE, MANIFEST, METRICS, OUTCOME, Journal, read_json, write_json
from greenbench.schema import as_table, build


class Worker:
    """One session of a trial: a first run or a resumed one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / MANIFEST)
        self.suite: Suite = suite_of(self.manifest, str(folder / MANIFEST))
        self.seed = int(self.manifest["seed"])
        self.control = str(self.manifest["control"])
        self.spec = spec_from_manifest(self.manifest)
        self.events = Journal(folder / EVENTS)
        self.metrics = Journal(folder / METRICS)
        self.stop = False
        self.ledger: Ledger | None = None
        self.outcome: dict[str, Any] = {"warnings": []}

    def request_stop(self, *_: object) -> None:
        """Stop after the current step (signal handler)."""
        self.stop = True

    @contextmanager
    def phase(self, name: str, *, charged: bool = True, **facts: Any) -> Iterator[None]:
        """Book a phase in the journal and, where it is budgeted, in the ledger."""
        self.events.write(event="begin", phase=name, charged=charged, **facts)
        if self.ledger is not None and charged:
            with self.ledger.phase(name):
                yield
        else:
            yield
        self.events.write(event="end", phase=name)

    def charge(self, *, seconds: float, joules: float | None, origin: str) -> None:
        """Charge the budget with what was spent before this trial, and book it in the journal for its result."""
        if self.ledger is not None:
            self.ledger.charge(seconds=seconds, joules=joules, origin=origin)
        self.events.write(event="charge", origin=origin, seconds=seconds, joules=joules)

    @contextmanager
    def checkpoint_phase(self, reason: str) -> Iterator[None]:
        """Book a checkpoint; only after it was written does it count as one."""
        with self.phase("checkpoint", reason=reason):
            yield
        self.events.write(event="checkpoint", reason=reason)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Tell the parent what is going on (it tails the journal)."""
        self.events.write(event="progress", text=text, fraction=fraction)

    def fail(self, error: BaseException) -> None:
        """Record why the trial failed."""
        text = str(error) if isinstance(error, GreenbenchError) else f"{type(error).__name__}: {error}"
        self.events.write(event="error", text=text)
        self.outcome |= {"status": "failed", "error": text, "t_mono_ns": time.monotonic_ns()}
        write_json(self.folder / OUTCOME, self.outcome)

    def live_joules(self) -> Any:
        """Return a callable that reads the sampler's cumulative joules, or None without a sampler."""
        if not (self.folder / LIVE).exists():
            return None
        from greenbench.power.sampler.live import LiveReader

        reader = LiveReader(self.folder / LIVE)
        return lambda: reader.read().energy_j


def suite_of(manifest: dict[str, Any], where: str) -> Suite:
    """Return the suite of a trial, with the [train] that this arm has."""
    suite = suite_from_table(manifest["config"], where)
    return replace(suite, train=build(TrainSection, manifest.get("train", as_table(suite.train)), f"{where} train"))


def spec_from_manifest(manifest: dict[str, Any]) -> ModelSpec:
    """Rebuild the contestant from a manifest."""
    table = dict(manifest["spec"])
    return ModelSpec(**{**table, "recipe": Recipe(**{**table["recipe"], "betas": tuple(table["recipe"]["betas"])})})
