"""Who a trial's trainer is and where it books: the phases in the journal and, where there is one, in the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from greenbench.budget import Ledger
from greenbench.budget.state import ENERGY_KINDS
from greenbench.cards import ModelSpec
from greenbench.config import Suite
from greenbench.errors import DamagedTrialError, GreenbenchError
from greenbench.records import EVENTS, LIVE, MANIFEST, METRICS, OUTCOME, Journal, Outcome, load_trial, write_json

_SILENT_S = 15.0  # a sampler that died is back within two


class Books:
    """Books phases and charges in the journal; with a ledger the budget pays for those that are charged."""

    def __init__(self, events: Journal, ledger: Ledger | None = None) -> None:
        self.events, self.ledger = events, ledger
        self.failed_in = ""
        """The innermost phase that an error has left."""

    @contextmanager
    def phase(self, name: str, *, charged: bool = True, **facts: object) -> Iterator[None]:
        """Book what happens inside as a phase, with facts for the journal."""
        self.events.write(event="begin", phase=name, charged=charged, **facts)
        try:
            with self.ledger.phase(name) if self.ledger is not None and charged else nullcontext():
                yield
        except BaseException:
            self.failed_in = self.failed_in or name
            raise
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


class Worker:
    """One session of a trial, a first run or a resumed one: what it was asked to do, and what it leaves."""

    def __init__(self, folder: Path) -> None:
        self.trial = load_trial(folder)
        self.suite, self.spec = _asked(folder, self.trial.arm_config, self.trial.spec)
        self.seed, self.control = self.trial.seed, self.trial.control
        self.folder = folder
        self.events = Journal(folder / EVENTS)
        self.metrics = Journal(folder / METRICS)
        self.books = Books(self.events)
        self.outcome = Outcome()
        self.stop = False
        self.energy_lost = ""
        self._finishing = False

    def request_stop(self, *_: object) -> None:
        """Stop (signal handler): at once, or in :meth:`finishing` as soon as that is done.

        Raises:
            KeyboardInterrupt: outside of :meth:`finishing`.
        """
        self.stop = True
        if not self._finishing:
            raise KeyboardInterrupt

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Let what happens inside come to its own end when a stop is requested; who calls it looks at ``stop``."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Tell the parent what is going on (it tails the journal)."""
        self.events.write(event="progress", text=text, fraction=fraction)

    def succeed(self) -> None:
        """Leave what was found for the result."""
        self._end("ok", None)

    def fail(self, error: BaseException) -> None:
        """Record why the trial failed."""
        text = str(error) if isinstance(error, GreenbenchError) else f"{type(error).__name__}: {error}"
        self.events.write(event="error", text=text)
        self._end("failed", text)

    def _end(self, status: str, error: str | None) -> None:
        self.outcome.status, self.outcome.error, self.outcome.t_mono_ns = status, error, time.monotonic_ns()
        write_json(self.folder / OUTCOME, self.outcome)

    def live_joules(self) -> Callable[[], float | None] | None:
        """Open the sampler's cumulative joules; None without a sampler."""
        if not (self.folder / LIVE).exists():
            return None
        from greenbench.power.sampler.live import LiveReader

        reader = LiveReader(self.folder / LIVE)
        worked_ns = time.monotonic_ns()

        def joules() -> float | None:
            nonlocal worked_ns
            reading = reader.read()
            if reading.working:
                worked_ns = reading.t_mono_ns
            elif (reading.t_mono_ns - worked_ns) * 1e-9 > _SILENT_S:
                self._lose_energy((reading.t_mono_ns - worked_ns) * 1e-9)
            return reading.energy_j

        return joules

    def _lose_energy(self, silent_s: float) -> None:
        """Stop a trial that is to end at a number of joules and no longer sees any."""
        if self.energy_lost or self.suite.budget.kind not in ENERGY_KINDS:
            return
        self.energy_lost = (
            f"[budget] {self.suite.budget.kind}: no sensor has said anything that can be true for {silent_s:.0f} s, so "
            "the budget cannot be kept; a checkpoint was written, and the same command goes on from it"
        )
        self.events.write(event="warning", text=self.energy_lost)
        self.stop = True


def _asked(folder: Path, suite: Suite | None, spec: ModelSpec | None) -> tuple[Suite, ModelSpec]:
    if suite is None or spec is None:
        raise DamagedTrialError(f"{folder / MANIFEST}: names no suite or no model")
    return suite, spec
