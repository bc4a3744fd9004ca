"""The ledger: books what a trial spends in six currencies and says when, and how large, the next step may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from greenbench.budget.predict import StepPredictor, clocked_share, counted_share
from greenbench.budget.state import CLOCKED_KINDS, LedgerState, check_budget
from greenbench.config import BudgetSection
from greenbench.errors import ConfigError
from greenbench.records import BUDGETED_PHASES, PHASES
from greenbench.units import NS_PER_S, SECONDS_PER_HOUR, hours

OUTSIDE = "outside"


class Ledger:
    """What a trial has spent, and whether its next step still fits.

    Time and energy accrue while a budgeted phase is innermost; a phase inside another (a checkpoint in pretraining)
    pauses the outer one. Steps, audio and FLOPs are told by the training loop, other costs by :meth:`charge`.

    Args:
        budget: the one currency that is limited; the other five are booked beside it.
        clock: monotonic nanoseconds.
        live: cumulative joules of the sampler, or None from it while it has none; None where there is no sensor.
        grams_per_joule: the carbon factor, or a function that gives that of the present hour; None where unknown.
        carried: the position of an earlier session.

    Raises:
        ConfigError: the budget's currency cannot be known here, or ``carried`` belongs to another budget.
    """

    def __init__(
        self,
        budget: BudgetSection,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        live: Callable[[], float | None] | None = None,
        grams_per_joule: float | Callable[[], float | None] | None = None,
        carried: LedgerState | Mapping[str, Any] | None = None,
    ) -> None:
        self.kind, self.limit = budget.kind, budget.limit
        self._clock, self._live = clock, live
        self._rate = grams_per_joule if callable(grams_per_joule) else lambda: grams_per_joule
        self._grams_per_joule = self._rate()
        self._mark_ns, self._mark_j = clock(), live() if live else None
        self._raw_j, self._start_ns, self._session_j = self._mark_j, self._mark_ns, 0.0
        check_budget(budget, has_energy=self._mark_j is not None, grams_per_joule=self._grams_per_joule)
        state = LedgerState.from_state(carried) if isinstance(carried, Mapping) else carried
        state = state or LedgerState(self.kind, self.limit)
        if (state.kind, state.limit) != (self.kind, self.limit):
            raise ConfigError(
                f"[budget] {self.kind} = {self.limit:g}: the checkpoint was written under {state.kind} = "
                f"{state.limit:g}; continue with that budget or start a new run folder"
            )
        self._ns, self._flops, self._audio_s, self.steps = state.spent_ns, state.flops, state.audio_s, state.steps
        self._j = None if self._mark_j is None else state.spent_j
        # Checkpoints from before grams were booked apart hold joules at one rate.
        self._g = (state.spent_j or 0.0) * (self._grams_per_joule or 0.0) if state.spent_g is None else state.spent_g
        self._phases = {name: dict(value) for name, value in state.phases.items()}
        self._charges = {name: dict(value) for name, value in state.charges.items()}
        self._origin = state.origin
        self._predictor = StepPredictor(state.predictor)
        self._stack: list[str] = []
        self._share = 1.0
        self._step_mark: dict[str, float] = {}
        self.energy_gaps = 0
        """Readings that the sampler could not give or that went backwards; bridged at the session's mean power."""

    # -- phases and charges -----------------------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book what happens inside under ``name``, one of :data:`greenbench.records.PHASES`."""
        if name not in PHASES:
            raise ValueError(f"phase {name!r} is none of {', '.join(PHASES)}")
        self._settle()
        self._stack.append(name)
        if name == "pretrain" and self._origin is None:
            self._origin = self._position()
        if name == "pretrain":
            self._step_mark = self._marks()
        try:
            yield
        finally:
            self._settle()
            self._stack.pop()

    def charge(
        self,
        *,
        flops: float = 0.0,
        audio_s: float = 0.0,
        seconds: float = 0.0,
        joules: float | None = 0.0,
        origin: str = "other",
    ) -> None:
        """Book a cost that no clock saw here: k-means FLOPs, a reused feature cache, a teacher's pretraining.

        ``joules=None`` says that the cost has an energy that nobody knows; a budget of energy cannot book it.
        """
        if joules is None and self.kind in ("joules", "grams_co2e"):
            raise ConfigError(
                f"[budget] {self.kind}: the energy of {origin} is not on record; make it anew in this trial"
            )
        self._flops += flops
        self._audio_s += audio_s
        self._ns += round(seconds * NS_PER_S)
        self._j = None if self._j is None or joules is None else self._j + joules
        self._emit(joules)
        booked = self._charges.setdefault(origin, {"flops": 0.0, "audio_s": 0.0, "seconds": 0.0, "joules": 0.0})
        for key, value in (("flops", flops), ("audio_s", audio_s), ("seconds", seconds), ("joules", joules or 0.0)):
            booked[key] += value
        for key, value in (("seconds", seconds), ("joules", joules or 0.0)):
            self._step_mark[key] = self._step_mark.get(key, 0.0) + value

    # -- steps ------------------------------------------------------------------------------------------------------

    def next_step_share(self, *, audio_s: float | None = None, flops: float | None = None) -> float:
        """The share of a full batch that the next step may use; 0.0 ends the training.

        It is 1.0 until the end comes near; :func:`shrink` turns a smaller share into a batch. ``audio_s`` and
        ``flops`` say what a full step would cost, where the loop knows; else the largest of the last steps counts.
        """
        self._settle()
        remaining = self.remaining
        if self.kind == "steps":
            share = 1.0 if remaining >= 1 else 0.0
        elif remaining <= 0:
            share = 0.0
        else:
            share = self._share_of(remaining, audio_s, flops)
        self._share = share
        return share

    def step_fits(self) -> bool:
        """Whether a whole next step is foreseen to fit; for loops that cannot shrink a batch."""
        if self.kind in CLOCKED_KINDS:
            self._settle()
            self._share = 1.0
            return self.remaining > 0 and (self._predicted(None, None) or 0.0) <= self.remaining
        return self.next_step_share() >= 1.0

    def step_done(self, *, audio_s: float, flops: float = 0.0) -> None:
        """Book a finished step. Its time and energy run from the previous step's end, data loading included."""
        self._settle()
        self.steps += 1
        self._audio_s += audio_s
        self._flops += flops
        before, self._step_mark = self._step_mark, self._marks()
        cost = {key: self._step_mark[key] - before.get(key, 0.0) for key in ("seconds", "joules")}
        self._predictor.observe(self._share or 1.0, **cost, flops=flops, audio_s=audio_s)

    def _share_of(self, remaining: float, audio_s: float | None, flops: float | None) -> float:
        cost = self._predicted(audio_s, flops)
        if not cost:
            return 1.0
        if self.kind in CLOCKED_KINDS:
            return clocked_share(remaining, cost, cost * self._predictor.typical_ratio(), self.limit, self._predictor)
        return counted_share(remaining, cost, self.limit)

    def _predicted(self, audio_s: float | None, flops: float | None) -> float | None:
        """What a full step costs in the budget's currency, as far as is known."""
        if self.kind == "steps":
            return 1.0
        if self.kind == "audio_hours":
            seconds = audio_s or self._predictor.counted("audio_s")
            return None if seconds is None else hours(seconds)
        if self.kind == "flops":
            return flops or self._predictor.counted("flops")
        if self.kind == "seconds":
            return self._predictor.seconds()
        joules = self._predictor.joules()
        return joules if self.kind == "joules" or joules is None else joules * (self._grams_per_joule or 0.0)

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def remaining(self) -> float:
        """What is left, in the currency's unit; negative after an overshoot."""
        return self.limit - self._position()

    @property
    def spent_fraction(self) -> float:
        """The part of the whole budget that is spent, 0..1."""
        return min(1.0, max(0.0, self._position() / self.limit))

    @property
    def fraction(self) -> float:
        """The schedule's position, 0..1: the spent part of what was left when pretraining began.

        A model that paid for targets first still warms up, and its schedule ends with the budget like all others'.
        It moves only with :meth:`next_step_share`, :meth:`step_done` and phases, so one step sees one value.
        """
        if self._origin is None:
            return 0.0
        room = self.limit - self._origin
        return 1.0 if room <= 0 else min(1.0, max(0.0, (self._position() - self._origin) / room))

    def spent(self) -> dict[str, float | None]:
        """The budgeted spending in all six currencies; None where unknowable."""
        grams = None if self._j is None or self._grams_per_joule is None else self._g
        return {
            "seconds": self._ns / NS_PER_S,
            "joules": self._j,
            "flops": self._flops,
            "audio_hours": hours(self._audio_s),
            "steps": self.steps,
            "grams_co2e": grams,
        }

    def overshoot_pct(self) -> float:
        """Spent minus limit in percent of the limit; negative is unused budget."""
        return 100.0 * (self._position() - self.limit) / self.limit

    def phases(self) -> dict[str, dict[str, float | None]]:
        """Seconds and joules of each phase so far, unbudgeted ones included."""
        self._settle()
        return {name: dict(value) for name, value in self._phases.items()}

    def state(self) -> dict[str, Any]:
        """The position as plain JSON data; give it as ``carried`` to continue."""
        self._settle()
        return LedgerState(
            self.kind,
            self.limit,
            self._ns,
            self._j,
            self._flops,
            self._audio_s,
            self.steps,
            self.phases(),
            {name: dict(value) for name, value in self._charges.items()},
            self._origin,
            self._predictor.state(),
            self._g,
        ).to_dict()

    # -- the meter --------------------------------------------------------------------------------------------------

    def _position(self) -> float:
        if self.kind == "steps":
            return float(self.steps)
        if self.kind == "audio_hours":
            return self._audio_s / SECONDS_PER_HOUR
        if self.kind == "flops":
            return self._flops
        return float(self.spent()[self.kind] or 0.0)

    def _marks(self) -> dict[str, float]:
        return {"seconds": self._ns / NS_PER_S, "joules": self._j or 0.0}

    def _settle(self) -> None:
        """Book time and energy since the last call under the innermost phase."""
        now_ns = self._clock()
        elapsed_ns = max(0, now_ns - self._mark_ns)
        joules = self._joules_since_mark(now_ns)
        self._mark_ns = now_ns
        name = self._stack[-1] if self._stack else OUTSIDE
        booked = self._phases.setdefault(name, {"seconds": 0.0, "joules": 0.0})
        booked["seconds"] = (booked["seconds"] or 0.0) + elapsed_ns / NS_PER_S
        known = booked["joules"]
        booked["joules"] = None if known is None or joules is None else known + joules
        if name in BUDGETED_PHASES:
            self._ns += elapsed_ns
            self._j = None if self._j is None or joules is None else self._j + joules
            self._emit(joules)

    def _emit(self, joules: float | None) -> None:
        """Book the grams of joules used now; an hour without a factor counts with the one before."""
        present = self._rate()
        self._grams_per_joule = self._grams_per_joule if present is None else present
        self._g += (joules or 0.0) * (self._grams_per_joule or 0.0)

    def _joules_since_mark(self, now_ns: int) -> float | None:
        if self._live is None or self._mark_j is None or self._raw_j is None:
            return None
        reading = self._live()
        if reading is None:
            joules = self._bridge(now_ns)
            self._mark_j += joules
        elif reading < self._raw_j:  # the sampler was started anew and counts from 0
            joules = self._bridge(now_ns)
            self._mark_j = self._raw_j = reading
        else:  # below the mark only where a bridge was too long: the counter catches up
            joules = max(0.0, reading - self._mark_j)
            self._mark_j, self._raw_j = self._mark_j + joules, reading
        self._session_j += joules
        return joules

    def _bridge(self, now_ns: int) -> float:
        self.energy_gaps += 1
        passed_ns = self._mark_ns - self._start_ns
        return self._session_j / passed_ns * (now_ns - self._mark_ns) if passed_ns > 0 else 0.0
