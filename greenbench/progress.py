"""How work tells how far it is; light, so that whatever works long may import it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is done, 0 to 1."""


@dataclass(frozen=True)
class TrialStatus:
    """What a running trial does now; None is unknown.

    ``spent`` is in the budget's currency, ``fraction`` (0 to 1) is how much of what ``text`` names is done.
    """

    phase: str = ""
    text: str = ""
    fraction: float | None = None
    spent: float | None = None
    loss: float | None = None
    audio_s_per_s: float | None = None
    power_w: float | None = None
    power_kind: str = ""
    energy_j: float | None = None


class Display(Protocol):
    """What the runner tells about its work."""

    def busy(self, text: str) -> None:
        """Show on a terminal what is going on before the first trial; in a log it is no line of its own."""

    def trial(self, name: str, number: int, total: int) -> None:
        """Begin a trial."""

    def update(self, status: TrialStatus) -> None:
        """Show a trial's newest status."""

    def done(self, summary: str) -> None:
        """End a trial with one line."""

    def note(self, text: str) -> None:
        """Say something between trials."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class SuiteClock:
    """When a suite will end: by what its trials have taken so far, each kind for itself, and before by a guess.

    ``kinds`` are those of the trials to run, in their order; ``guess_s`` are seconds a trial of each kind.
    """

    def __init__(self, kinds: Sequence[str], guess_s: dict[str, float | None]) -> None:
        self._left, self._guess_s = list(kinds), guess_s
        self._took_s: dict[str, list[float]] = {}

    def ended(self, duration_s: float) -> None:
        """Note that the next trial took so long."""
        self._took_s.setdefault(self._left.pop(0), []).append(duration_s)

    def left_s(self) -> float | None:
        """The seconds that the remaining trials will take; None where nothing is known of one of them."""
        each = [self._expected_s(kind) for kind in self._left]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def end_words(self) -> str:
        """Say when the suite will end by the clock on the wall; empty where nothing is known or nothing is left."""
        left_s = self.left_s()
        if not left_s:
            return ""
        end_s = time.time() + left_s
        days = time.localtime(end_s)[:3] != time.localtime()[:3]
        return f"the suite ends about {time.strftime('%a %H:%M' if days else '%H:%M', time.localtime(end_s))}"

    def _expected_s(self, kind: str) -> float | None:
        took = self._took_s.get(kind)
        return sum(took) / len(took) if took else self._guess_s.get(kind)
