"""How an arm is named and coloured in tables."""

from __future__ import annotations

from greenbench.report.arms import Arm
from greenbench.report.figures.style import Look
from greenbench.report.figures.tradeoff import control_name
from greenbench.report.view import Cell, Swatch, swatch


def arm_swatch(arm: Arm) -> Swatch:
    """Return an arm's marker."""
    return swatch(Look.of_control(arm.index) if arm.control else Look.of(arm.index))


def arm_cell(arm: Arm, *notes: str) -> Cell:
    """Return the cell that names an arm."""
    return Cell(control_name(arm) if arm.control else arm.label, notes=notes, look=arm_swatch(arm))
