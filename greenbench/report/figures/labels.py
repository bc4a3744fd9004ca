"""Names beside marks so that none overlaps another, legends below axes, ticks without useless zeros."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from greenbench.report.figures.palette import OTHER_PHASE, PHASE_COLOURS, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure


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
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
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
    """Places along the line from a mark to the nearest edge of its label, the ends left out."""
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
    outside: float = (
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


def phase_legend(figure: MplFigure, phases: Sequence[str], *, alpha: float = 1.0) -> None:
    """Put a legend of the phases' colours below the axes, in the order of a trial."""
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(name for name in (*PHASE_COLOURS, *phases) if name in phases))
    handles = [
        Patch(color=PHASE_COLOURS.get(name, OTHER_PHASE), alpha=alpha, linewidth=0, label=name) for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=1.1, columnspacing=1.2)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * ((len(names) + 3) // 4))


def short(text: str) -> str:
    """Drop the zeros that a tick does not need: ``"1.60 kJ"`` becomes ``"1.6 kJ"``, ``"24.0 mg"`` ``"24 mg"``."""
    number, _, unit = text.partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {unit}".strip()
