"""How every figure looks: one size, one palette, text as text, colours as CSS variables that follow light and dark."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

WIDTH_IN = 5.0
"""Every figure is 360 points wide: at 390 px of screen its 10 pt text is still about 10 px high."""

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
_DARK = {
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
    """Return the CSS declarations of every figure colour for light or dark."""
    pairs = [(f"--c{i}", d if dark else c) for i, (c, d) in enumerate(zip(PALETTE, DARK_PALETTE, strict=True))]
    inks = (*_NAMES, *PHASE_COLOURS.values())
    pairs += [(_variable(colour), _DARK.get(colour, colour) if dark else colour) for colour in inks]
    return "".join(f"{name}:{value};" for name, value in pairs)


def _variable(colour: str) -> str:
    if colour in PALETTE:
        return f"--c{PALETTE.index(colour)}"
    return f"--{_NAMES.get(colour) or 'f' + colour[1:]}"


_KNOWN = {colour: f"var({_variable(colour)},{colour})" for colour in (*PALETTE, *_NAMES, *PHASE_COLOURS.values())}


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one arm; any two of the first 77 arms differ in colour or marker."""

    colour: str
    marker: str
    dash: Any

    @classmethod
    def of(cls, index: int) -> Look:
        """Return the look of the arm with this place in the order."""
        return cls(
            PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)], DASHES[(index // len(PALETTE)) % len(DASHES)]
        )

    @classmethod
    def of_control(cls, index: int) -> Look:
        """Return the look of a control: grey, hollow shapes apart from the contestants'."""
        return cls(SOFT, ("x", "+", "1", "2")[index % 4], (0, (2, 2)))


@dataclass(frozen=True)
class Table:
    """The data of a figure, as text; first row of ``columns`` heads it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A finished figure: inline SVG, its words and its data. ``tips`` are the hover texts by element id."""

    name: str
    title: str
    description: str
    svg: str
    table: Table
    note: str = ""
    wide: bool = False
    pdf: bytes = field(default=b"", repr=False)


@contextmanager
def canvas(height_in: float, *, width_in: float = WIDTH_IN) -> Iterator[MplFigure]:
    """Give a matplotlib figure in the house style, without a display and without global state left behind."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as MplFigure

    style: Any = {
        "svg.fonttype": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": INK,
        "axes.labelsize": 10,
        "text.color": INK,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 9.5,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "lines.linewidth": 1.8,
        "path.simplify_threshold": 0.3,
        "text.parse_math": False,
        "axes.formatter.use_mathtext": False,
    }
    with mpl.rc_context(style):
        figure = MplFigure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def finish(
    figure: MplFigure,
    name: str,
    title: str,
    description: str,
    table: Table,
    *,
    tips: dict[str, str] | None = None,
    note: str = "",
    wide: bool = False,
    pdf: bool = True,
) -> Figure:
    """Render to SVG (inline-safe) and PDF. Call inside :func:`canvas`."""
    import matplotlib as mpl

    buffer = BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.set_layout_engine("none")  # the layout stands; finding it again for the PDF takes as long as drawing
    printed = BytesIO()
    if pdf:
        # Type 42 embeds real fonts, so that the text of a figure can be searched and edited in a paper.
        with mpl.rc_context({"pdf.fonttype": 42}):
            figure.savefig(printed, format="pdf", metadata={"CreationDate": None})
    svg = _inline(buffer.getvalue(), name, title, description, tips or {})
    return Figure(name, title, description, svg, table, note, wide, printed.getvalue())


def standalone(figure: Figure) -> str:
    """Return the figure as an SVG file of its own, with both colour schemes inside."""
    style = (
        f"<style>:root{{{css_variables(dark=False)}color:{INK}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}background:{_DARK[PAPER]}}}}}</style>"
    )
    head, separator, rest = figure.svg.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{separator}{style}{rest}\n'


_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def _inline(data: bytes, name: str, title: str, description: str, tips: dict[str, str]) -> str:
    """Make matplotlib's file safe beside others on a page: own ids, no metadata, CSS colours, words for readers."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(data)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _rewrite(element, name, tips)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-t {name}-d", "class": "figure"})
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag[0]}"})
        child.text = text
        root.insert(position, child)
    text = ET.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", text)


def _rewrite(element: ET.Element, name: str, tips: dict[str, str]) -> None:
    attributes = element.attrib
    identifier = attributes.get("id")
    tip = tips.get(identifier or "")
    if tip is not None:
        attributes["class"] = "tip"
        attributes["data-tip"] = tip
        child = ET.Element(f"{{{_SVG}}}title")
        child.text = tip
        element.insert(0, child)
    if identifier is not None:
        if element.tag.endswith("}g") or identifier.startswith("figure"):
            del attributes["id"]
        else:
            attributes["id"] = f"{name}-{identifier}"
    reference = attributes.pop(_XLINK, None)
    if reference is not None:
        attributes["href"] = f"#{name}-{reference[1:]}"
    for key in ("style", "clip-path", "d", "transform", "x", "y", "points", "fill", "stroke", "width", "height"):
        if key in attributes:
            attributes[key] = _value(attributes[key], name)


def _value(text: str, name: str) -> str:
    text = _NUMBER.sub(lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), text)
    text = text.replace("url(#", f"url(#{name}-").replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")
    if "#" in text:
        text = re.sub(r"#[0-9a-f]{6}", lambda match: _KNOWN.get(match.group(), match.group()), text)
    return " ".join(text.split())


def place_labels(
    axes: Any,
    points: Sequence[tuple[float, float, str, str]],
    *,
    size: float = 9.5,
    avoid: Sequence[tuple[float, float]] = (),
) -> None:
    """Write a label beside each ``(x, y, text, colour)`` so that no two overlap if there is any room.

    A label that stands further away gets a thin line to its mark. ``avoid`` are other marks to keep clear of.
    """
    figure = axes.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else figure._get_renderer()
    frame = axes.get_window_extent(renderer)
    # Texts that stand already, such as the names of lines.
    taken: list[Any] = [text.get_window_extent(renderer) for text in axes.texts]
    obstacles = [axes.transData.transform(place) for place in avoid]
    spots = [axes.transData.transform((x, y)) for x, y, _, _ in points]
    for (x, y, text, colour), spot in sorted(zip(points, spots, strict=True), key=lambda pair: -pair[1][1]):
        best, best_cost, best_box = _OFFSETS[0], float("inf"), None
        write = partial(axes.annotate, text, (x, y), textcoords="offset points", fontsize=size, color=colour)
        for offset in _OFFSETS:
            dx, dy, align, vertical = offset
            note = write(xytext=(dx, dy), ha=align, va=vertical)
            box = note.get_window_extent(renderer)
            note.remove()
            cost = _cost(box, taken, [*spots, *obstacles], frame) + 0.02 * (abs(dx) + abs(dy))
            if _is_far(offset):
                cost += 4.0 * sum(_holds(other, place) for place in _leader(spot, box) for other in taken)
            if cost < best_cost:
                best, best_cost, best_box = offset, cost, box
        dx, dy, align, vertical = best
        line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 0.5, "shrinkB": 4}
        write(xytext=(dx, dy), ha=align, va=vertical, arrowprops=line if _is_far(best) else None)
        taken.append(best_box)
        if _is_far(best):
            obstacles += _leader(spot, best_box)


_NEAR_PT = 7


def _is_far(offset: tuple[float, float, str, str]) -> bool:
    return max(abs(offset[0]), abs(offset[1])) > _NEAR_PT


def _leader(spot: Any, box: Any) -> list[tuple[float, float]]:
    """Return places along the line from a mark to the nearest edge of its label, the ends left out."""
    x, y = min(max(spot[0], box.x0), box.x1), min(max(spot[1], box.y0), box.y1)
    return [(spot[0] + (x - spot[0]) * k / 8, spot[1] + (y - spot[1]) * k / 8) for k in range(2, 8)]


def _holds(box: Any, place: tuple[float, float]) -> bool:
    return bool(box.x0 - 1 < place[0] < box.x1 + 1 and box.y0 - 1 < place[1] < box.y1 + 1)


_OFFSETS = tuple(
    (dx, dy, align, vertical)
    for reach in (_NEAR_PT, 15, 26, 40)
    for dx, dy, align, vertical in (
        (reach, 0, "left", "center"),
        (-reach, 0, "right", "center"),
        (0, reach, "center", "bottom"),
        (0, -reach, "center", "top"),
        (reach, reach, "left", "bottom"),
        (-reach, reach, "right", "bottom"),
        (reach, -reach, "left", "top"),
        (-reach, -reach, "right", "top"),
    )
)


def _cost(box: Any, taken: Sequence[Any], spots: Sequence[Any], frame: Any) -> float:
    cost = 0.0
    for other in taken:
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        cost += 10 + width * height / 10 if width > 0 and height > 0 else 0
    cost += sum(5.0 for x, y in spots if box.x0 - 3 < x < box.x1 + 3 and box.y0 - 3 < y < box.y1 + 3)
    outside = (
        max(0, frame.x0 - box.x0) + max(0, box.x1 - frame.x1) + max(0, frame.y0 - box.y0) + max(0, box.y1 - frame.y1)
    )
    return cost + outside


def place_legend(figure: MplFigure, axes: Any, count: int) -> None:
    """Put the legend below the axes in as many columns as fit; a single line needs none."""
    if count > 1:
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(count, 3), handlelength=2.6
        )
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.2 * ((count + 2) // 3))


def short(text: str) -> str:
    """Drop the zeros that a tick does not need: ``"1.60 kJ"`` becomes ``"1.6 kJ"``, ``"24.0 mg"`` ``"24 mg"``."""
    number, _, unit = text.partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {unit}".strip()
