"""How work tells how far it is; light, so that whatever works long may import it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is done, 0 to 1."""


@dataclass(frozen=True)
class TrialStatus:
    """What a running trial does now; None is unknown. ``spent`` is in the budget's currency."""

    phase: str = ""
    text: str = ""
    spent: float | None = None
    loss: float | None = None
    audio_s_per_s: float | None = None
    power_w: float | None = None
    power_kind: str = ""
    energy_j: float | None = None


class Display(Protocol):
    """What the runner tells about its work."""

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
