"""Colours, markers and dashes: one palette for light and dark, written as CSS variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Okabe and Ito's palette (Color Universal Design, 2008) without its yellow, which is too pale on white.
PALETTE = ("#009e73", "#d55e00", "#0072b2", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
DARK_PALETTE = ("#1fc496", "#f07a2b", "#4aa3df", "#dd93bb", "#f0b429", "#7cc8f4", "#a9a9a9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
# Inks that stand for a CSS variable; each is a colour that nothing else uses.
INK, SOFT, GRID, PAPER = "#1b1f23", "#57606b", "#d9dde2", "#fefefe"
PHASE_COLOURS = {
    "idle": "#b8bec5",
    "idle_context": "#a1a9b1",
    "setup": "#8a939c",
    "features": "#e5a112",
    "targets": "#cb78a6",
    "compile": "#55b3e8",
    "pretrain": "#029e74",
    "checkpoint": "#6b7580",
    "evaluate": "#0273b3",
}
OTHER_PHASE = "#7f7f7f"
DARK = {
    INK: "#e8eaed",
    SOFT: "#a9b2bc",
    GRID: "#343b43",
    PAPER: "#16191d",
    "#b8bec5": "#565e67",
    "#a1a9b1": "#646d76",
    "#8a939c": "#727b85",
    "#6b7580": "#98a2ad",
}
_NAMES = {INK: "ink", SOFT: "soft", GRID: "grid", PAPER: "paper"}


def css_variables(*, dark: bool) -> str:
    """The CSS declarations of every figure colour for light or dark."""
    pairs = [(f"--c{i}", d if dark else c) for i, (c, d) in enumerate(zip(PALETTE, DARK_PALETTE, strict=True))]
    inks = (*_NAMES, *PHASE_COLOURS.values())
    pairs += [(_variable(colour), DARK.get(colour, colour) if dark else colour) for colour in inks]
    return "".join(f"{name}:{value};" for name, value in pairs)


def _variable(colour: str) -> str:
    if colour in PALETTE:
        return f"--c{PALETTE.index(colour)}"
    return f"--{_NAMES.get(colour) or 'f' + colour[1:]}"


AS_VARIABLE = {colour: f"var({_variable(colour)},{colour})" for colour in (*PALETTE, *_NAMES, *PHASE_COLOURS.values())}


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one arm; any two of the first 77 arms differ in colour or marker."""

    colour: str
    marker: str
    dash: Any

    @classmethod
    def of(cls, index: int) -> Look:
        """The look of the arm with this place in the order."""
        return cls(
            PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)], DASHES[(index // len(PALETTE)) % len(DASHES)]
        )

    @classmethod
    def of_control(cls, index: int) -> Look:
        """The look of a control: grey, hollow shapes apart from the contestants'."""
        return cls(SOFT, ("x", "+", "1", "2")[index % 4], (0, (2, 2)))
