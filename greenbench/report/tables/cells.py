"""Tables as plain data: cells, heads and rows that every renderer draws in its own way and escapes."""

from __future__ import annotations

from dataclasses import dataclass, field

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm
from greenbench.report.figures.palette import PALETTE, Look
from greenbench.report.ranking import control_name
from greenbench.report.text.terms import label

ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
MARKS = {"better": "✓", "worse": "✗", "no difference shown": "≈", "not enough runs": "?"}


@dataclass(frozen=True)
class Swatch:
    """A small SVG path that shows an arm's marker."""

    path: str
    fill: str
    stroke: str
    width: float


@dataclass(frozen=True)
class Head:
    """A column's head: text, direction arrow and a note below it."""

    text: str
    direction: str = "none"
    note: str = ""

    @property
    def arrow(self) -> str:
        """The arrow of the better direction, empty for none."""
        return ARROWS[self.direction]


@dataclass(frozen=True)
class Cell:
    """One cell: text, sort value, small notes below it, a verdict mark, and a warning that must not be missed."""

    text: str
    value: float | str | None = None
    notes: tuple[str, ...] = ()
    verdict: str = ""
    look: Swatch | None = None
    flag: str = ""

    @property
    def mark(self) -> str:
        """The sign of the verdict."""
        return MARKS.get(self.verdict, "")

    @property
    def css(self) -> str:
        """The CSS class of the verdict."""
        return self.verdict.partition(" ")[0] if self.verdict in ("better", "worse") else ""


@dataclass(frozen=True)
class Row:
    """A row of cells; the first heads it."""

    cells: tuple[Cell, ...]
    css: str = ""


@dataclass(frozen=True)
class TableView:
    """A table; ``text`` are the columns that align left."""

    label: str
    columns: tuple[Head, ...] = ()
    rows: tuple[Row, ...] = ()
    text: tuple[int, ...] = field(default=(0,))


def metric_head(name: str, note: str = "") -> Head:
    """The head of a metric's column."""
    text = label(name)
    return Head(text[:1].upper() + text[1:], METRICS[name].direction, note)


def metric_cell(name: str, value: float | None) -> Cell:
    """A cell with a formatted figure; absent is empty."""
    return Cell(format_value(name, value), value)


def swatch(look: Look) -> Swatch:
    """The marker of a look as an SVG path around (0, 0)."""
    colour = f"var({_css(look.colour)},{look.colour})"
    line = look.marker in "x+12"
    return Swatch(_PATHS.get(look.marker, _PATHS["o"]), "none" if line else colour, colour if line else "none", 2.0)


def _css(colour: str) -> str:
    return f"--c{PALETTE.index(colour)}" if colour in PALETTE else "--soft"


_PATHS = {
    "o": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "s": "M-4.5-4.5h9v9h-9z",
    "^": "M0-5.5 5.5 4.5h-11z",
    "D": "M0-6 6 0 0 6-6 0z",
    "v": "M0 5.5 5.5-4.5h-11z",
    "P": "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "X": "M-5-2.5-2.5-5 0-2.5 2.5-5 5-2.5 2.5 0 5 2.5 2.5 5 0 2.5-2.5 5-5 2.5-2.5 0z",
    "<": "M-5.5 0 4.5-5.5v11z",
    ">": "M5.5 0-4.5-5.5v11z",
    "p": "M0-6 5.7-1.8 3.5 5h-7L-5.7-1.8z",
    "h": "M0-6 5.2-3v6L0 6-5.2 3v-6z",
    "x": "M-4-4 4 4M-4 4 4-4",
    "+": "M-5.5 0h11M0-5.5v11",
    "1": "M0 0v5M0 0-4.5-3M0 0 4.5-3",
    "2": "M0 0v-5M0 0-4.5 3M0 0 4.5 3",
}


def arm_swatch(arm: Arm) -> Swatch:
    """An arm's marker."""
    return swatch(Look.of_control(arm.index) if arm.control else Look.of(arm.index))


def arm_cell(arm: Arm, *notes: str, flag: str = "") -> Cell:
    """The cell that names an arm."""
    return Cell(control_name(arm) if arm.control else arm.label, notes=notes, look=arm_swatch(arm), flag=flag)
