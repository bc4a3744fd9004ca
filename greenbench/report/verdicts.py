"""What may be claimed against the baseline; the statistics themselves live in :mod:`greenbench.compare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from greenbench.report.collect import Setting
from greenbench.report.view import TableView


@dataclass(frozen=True)
class Claims:
    """Verdicts by ``(arm label, metric)``; pairs that were not tested are missing."""

    found: dict[tuple[str, str], Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def verdict(self, label: str, metric: str) -> str:
        """Return the verdict, or an empty string where nothing was tested."""
        comparison = self.found.get((label, metric))
        return comparison.verdict if comparison else ""

    def get(self, label: str, metric: str) -> Any:
        """Return the whole comparison, or ``None``."""
        return self.found.get((label, metric))


def claims_of(setting: Setting) -> Claims:
    """Compare every contestant with the baseline, metric by metric."""
    return Claims()


def claims_table(setting: Setting, claims: Claims) -> TableView:
    """List the tests behind the marks."""
    return TableView("Tests")


def targets_table(setting: Setting) -> TableView:
    """List the energy each model needed to reach the target."""
    return TableView("Energy to target")


def targets_note(setting: Setting) -> str:
    """Say which target."""
    return ""
