"""Live progress: a rich table on a terminal, a plain line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from greenbench.progress import Display, TrialStatus
from greenbench.units import format_duration, format_si

PLAIN_EVERY_S, PLAIN_MOST_S = 5.0, 300.0
PLAIN_GROWTH = 0.1
"""How long the next line waits, as a part of the time that the phase has lasted: a log of hours stays short."""
_OUTSIDE_BUDGET = ("starting", "idle", "setup", "evaluate", "waiting for a quiet machine")
_CURRENCY_UNITS = {
    "seconds": "s",
    "joules": "J",
    "flops": "FLOP",
    "audio_hours": "h",
    "steps": "steps",
    "grams_co2e": "g",
}


def describe(status: TrialStatus, kind: str, limit: float) -> list[str]:
    """The columns of a status: phase and its progress, power with its mark; in training budget, loss and speed."""
    unit, power_w = _CURRENCY_UNITS[kind], status.power_w
    trains = status.phase not in _OUTSIDE_BUDGET
    spent, loss, speed = (status.spent, status.loss, status.audio_s_per_s) if trains else (None, None, None)
    done = "" if status.fraction is None else f"{status.fraction:.0%}"
    return [
        " ".join(filter(None, [status.phase, status.text, done])),
        "" if spent is None else f"{_amount(spent, unit)} spent, {_amount(max(0.0, limit - spent), unit)} left",
        "" if loss is None else f"loss {loss:.3f}",
        "" if speed is None else f"{speed:.0f} audio s/s",
        "" if power_w is None else f"{power_w:.1f} W {status.power_kind}".strip(),
        "" if status.energy_j is None else format_si(status.energy_j, "J"),
    ]


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return format_duration(value) if value >= 1 else f"{value:.1f} s"
    if unit in ("steps", "h", "g"):
        return f"{value:.4g} {unit}"
    return format_si(value, unit)


class PlainDisplay:
    """One line when the phase changes, and in between ever more seldom; fit for logs."""

    def __init__(self, kind: str, limit: float) -> None:
        self.kind, self.limit = kind, limit
        self._name, self._last, self._phase, self._began = "", 0.0, "", 0.0

    def busy(self, text: str) -> None:
        """Print nothing: what is refused before the first trial is one line."""

    def trial(self, name: str, number: int, total: int) -> None:
        """Begin a trial."""
        self._name, self._last, self._phase, self._began = f"[{number}/{total}] {name}", 0.0, "", 0.0
        self.note(self._name)

    def update(self, status: TrialStatus) -> None:
        """Print a line when the phase changes or enough time has passed."""
        now, phase = time.monotonic(), status.phase
        if phase != self._phase:
            self._began = now
        elif now - self._last < min(PLAIN_MOST_S, max(PLAIN_EVERY_S, PLAIN_GROWTH * (now - self._began))):
            return
        self._last, self._phase = now, phase
        self.note(f"{self._name}: " + " · ".join(filter(None, describe(status, self.kind, self.limit))))

    def done(self, summary: str) -> None:
        """Print the trial's closing line."""
        self.note(f"{self._name}: {summary}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to restore."""


class RichDisplay:
    """A live table of the running trial with finished ones above it."""

    def __init__(self, kind: str, limit: float) -> None:
        self.kind, self.limit = kind, limit
        self._name = ""
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        self._live.start()

    def busy(self, text: str) -> None:
        """Show a text until the first trial's row takes its place."""
        self._live.update(text)

    def trial(self, name: str, number: int, total: int) -> None:
        """Begin a trial."""
        self._name = f"[{number}/{total}] {name}"
        self.update(TrialStatus("starting"))

    def update(self, status: TrialStatus) -> None:
        """Redraw the trial's row."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row(f"[bold]{self._name}[/]", *describe(status, self.kind, self.limit))
        self._live.update(table)

    def done(self, summary: str) -> None:
        """Leave the trial's closing line above the table."""
        self.note(f"{self._name}: {summary}")

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self._live.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()


class QuietDisplay:
    """Says nothing."""

    def busy(self, text: str) -> None:
        """Show nothing."""

    def trial(self, name: str, number: int, total: int) -> None:
        """Begin a trial."""

    def update(self, status: TrialStatus) -> None:
        """Show nothing."""

    def done(self, summary: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to restore."""


def pick_display(kind: str, limit: float, *, quiet: bool) -> Display:
    """The display that fits: quiet, live on a terminal, plain lines elsewhere."""
    if quiet:
        return QuietDisplay()
    return RichDisplay(kind, limit) if sys.stderr.isatty() else PlainDisplay(kind, limit)
