"""From a matplotlib figure to PDF and to SVG that is safe inside a page: own ids, real text, colours as variables."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from greenbench.report.figures.palette import AS_VARIABLE, DARK, GRID, INK, PAPER, SOFT, css_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure


WIDTH_IN = 5.0
"""Every figure is 360 points wide: at 390 px of screen its 10 pt text is still about 10 px high."""


_STYLE: Any = {
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


@dataclass(frozen=True)
class Table:
    """The data of a figure, as text; first row of ``columns`` heads it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A finished figure: inline SVG, its words and its data."""

    name: str
    title: str
    description: str
    svg: str
    table: Table
    drawing: MplFigure = field(repr=False, compare=False)
    note: str = ""
    wide: bool = False

    def to_pdf(self) -> bytes:
        """The figure for a paper; takes as long as all else about it, so it is made where it is wanted."""
        import matplotlib as mpl

        printed = BytesIO()
        # Type 42 embeds real fonts, so that the text of a figure can be searched and edited in a paper.
        with mpl.rc_context({**_STYLE, "pdf.fonttype": 42}):
            self.drawing.savefig(printed, format="pdf", metadata={"CreationDate": None})
        return printed.getvalue()


@contextmanager
def canvas(height_in: float, *, width_in: float = WIDTH_IN) -> Iterator[MplFigure]:
    """Give a matplotlib figure in the house style, without a display and without global state left behind."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MplFigure

    with mpl.rc_context(_STYLE):
        figure = MplFigure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)  # measures text; what is written is SVG and PDF
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
) -> Figure:
    """Render to SVG that is safe inside a page; ``tips`` are hover texts by element id. Call inside :func:`canvas`."""
    import matplotlib as mpl

    buffer = BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.set_layout_engine("none")  # the layout stands; finding it again for the PDF takes as long as drawing
    svg = _inline(buffer.getvalue(), name, title, description, tips or {})
    return Figure(name, title, description, svg, table, figure, note, wide)


def standalone(figure: Figure) -> str:
    """The figure as an SVG file of its own, with both colour schemes inside."""
    style = (
        f"<style>:root{{{css_variables(dark=False)}color:{INK}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{css_variables(dark=True)}background:{DARK[PAPER]}}}}}</style>"
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
        text = re.sub(r"#[0-9a-f]{6}", lambda match: AS_VARIABLE.get(match.group(), match.group()), text)
    return " ".join(text.split())
