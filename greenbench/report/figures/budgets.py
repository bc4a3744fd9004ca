"""Error against joules over several budgets: one line a model, so that a small lead can be told from a large one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.labels import place_labels, short
from greenbench.report.figures.palette import Look
from greenbench.report.learning import best_control
from greenbench.report.ranking import ENERGY, control_name
from greenbench.report.text.amounts import budget_words
from greenbench.report.text.terms import label

Line = list[tuple[Setting, Arm]]


def over_budgets(settings: Sequence[Setting]) -> list[Figure]:
    """Draw each group of settings that differ in nothing but the size of their budget; none where there is one only."""
    groups: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings:
        kept = {key: text for key, text in setting.keys.items() if key != "budget_limit"}
        groups.setdefault((*setting.machine.values(), *kept.values(), setting.headline or ""), []).append(setting)
    drawn = (_figure(group) for group in groups.values() if len(group) > 1 and group[0].headline)
    return [figure for figure in drawn if figure is not None]


def _lines(group: Sequence[Setting], quality: str) -> dict[str, Line]:
    """Each model's arms by their joules; a model with one budget only has a point."""
    lines: dict[str, Line] = {}
    for setting in group:
        for arm in setting.contestants:
            if arm.mean(quality) is not None and arm.mean(ENERGY) is not None:
                lines.setdefault(arm.label, []).append((setting, arm))
    for line in lines.values():
        line.sort(key=lambda pair: pair[1].mean(ENERGY) or 0.0)
    return lines


def _figure(group: Sequence[Setting]) -> Figure | None:
    quality = group[0].headline or ""
    lines = _lines(group, quality)
    if not any(len(line) > 1 for line in lines.values()):
        return None
    metric, tips = METRICS[quality], dict[str, str]()
    with canvas(3.6) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        ends = [_draw(axes, line, quality, tips) for line in lines.values()]
        _floor(axes, group)
        axes.set_xlabel("training energy, logarithmic")
        axes.set_ylabel(f"{label(quality)} ({metric.unit or '1'}), {metric.direction} is better")
        axes.margins(0.2, 0.15)
        axes.xaxis.set_major_formatter(lambda value, _: short(format_value(ENERGY, value)))
        axes.xaxis.set_minor_formatter(lambda *_: "")
        place_labels(axes, ends)
        budgets = " and ".join(budget_words(setting) for setting in group)
        return finish(
            figure,
            f"{group[0].prefix}budgets",
            f"{label(quality)} against joules, over {len(group)} budgets",
            f"One line a model, one mark a budget ({budgets}); both are means over seeds. Nothing is tested across "
            "budgets.",
            _table(lines, quality),
            tips=tips,
        )


def _draw(axes: Any, line: Line, quality: str, tips: dict[str, str]) -> tuple[float, float, str, str]:
    """Draw one model; return where its name belongs."""
    look = Look.of(line[0][1].index)
    places = [(arm.mean(ENERGY) or 0.0, arm.mean(quality) or 0.0) for _, arm in line]
    axes.plot(*zip(*places, strict=True), color=look.colour, linewidth=1.6)
    for number, ((setting, arm), (x, y)) in enumerate(zip(line, places, strict=True)):
        (mark,) = axes.plot(x, y, look.marker, color=look.colour, markersize=8, markeredgecolor="#fefefe")
        mark.set_gid(f"b-{arm.index}-{number}")
        tips[f"b-{arm.index}-{number}"] = (
            f"{arm.label}, {budget_words(setting)}: {format_value(quality, y)}, {format_value(ENERGY, x)}"
        )
    return (*places[-1], line[0][1].label, "#1b1f23")


def _floor(axes: Any, group: Sequence[Setting]) -> None:
    """Draw what costs no pretraining at all: the best control of any budget."""
    found = [best for setting in group if (best := best_control(setting)) is not None]
    if not found:
        return
    control, value = found[0]
    axes.axhline(value, color="#57606b", linestyle=(0, (2, 2)), linewidth=1, zorder=0)
    axes.annotate(
        control_name(control),
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=9,
        color="#57606b",
    )


def _table(lines: dict[str, Line], quality: str) -> Table:
    rows = [
        (name, budget_words(s), format_value(quality, arm.mean(quality)), format_value(ENERGY, arm.mean(ENERGY)))
        for name, line in lines.items()
        for s, arm in line
    ]
    return Table(("model", "budget", label(quality), label(ENERGY)), tuple(rows))
