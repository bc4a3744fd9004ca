"""How work tells how far it is; light, so that whatever works long may import it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is done, 0 to 1."""


class Display(Protocol):
    """What the runner tells about its work."""

    def trial(self, name: str, number: int, total: int) -> None:
        """Begin a trial."""

    def update(self, status: dict[str, Any]) -> None:
        """Show a trial's newest status."""

    def done(self, summary: str) -> None:
        """End a trial with one line."""

    def note(self, text: str) -> None:
        """Say something between trials."""

    def close(self) -> None:
        """Leave the terminal as it was."""
