"""Error against energy: every trial a point, every arm its mean, the Pareto front and the budget line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.canvas import WIDTH_IN, Figure, Table, canvas, finish
from greenbench.report.figures.labels import place_labels, short
from greenbench.report.figures.palette import Look
from greenbench.report.ranking import ENERGY, MEMORY, control_name
from greenbench.report.text.amounts import plural
from greenbench.report.text.terms import label
from greenbench.stats import ParetoPoint, pareto_front

MAX_MARKS = 30
"""With more trials per model than this, single ones get no hover text of their own."""
MAX_LINES = 3
"""With more controls than this, random weights of each model become marks beside their models instead of lines."""
CROWD = 8
"""With more models than this the figure takes the page's whole width."""


def standing(arms: Sequence[Arm], cost: str, quality: str) -> dict[str, ParetoPoint]:
    """Each arm's standing on the plane of error against cost, seeds paired within a run."""
    sign = -1.0 if METRICS[quality].direction == "higher" else 1.0
    runs = {}
    for arm in arms:
        x, y = arm.values(cost), arm.values(quality)
        runs[arm.label] = [(x[seed], sign * y[seed]) for seed in sorted(x.keys() & y.keys())]
    return {point.name: point for point in pareto_front(runs)}


def tradeoffs(setting: Setting) -> list[Figure]:
    """Draw the headline error against budgeted joules and against peak memory."""
    drawn = (_tradeoff(setting, cost, name) for cost, name in ((ENERGY, "tradeoff"), (MEMORY, "tradeoff-memory")))
    return [figure for figure in drawn if figure is not None]


def _tradeoff(setting: Setting, cost: str, name: str) -> Figure | None:
    quality = setting.headline
    if quality is None:
        return None
    arms = [arm for arm in setting.contestants if arm.values(quality) and arm.values(cost)]
    if not arms:
        return None
    metric = METRICS[quality]
    tips: dict[str, str] = {}
    crowded = len(arms) > CROWD
    with canvas(5.2 if crowded else 3.6, width_in=7.6 if crowded else WIDTH_IN) as figure:
        axes = figure.add_subplot()
        for arm in arms:
            _points(axes, arm, cost, quality, tips)
        points = standing(arms, cost, quality)
        front = _front(axes, arms, cost, quality, points)
        untrained = _untrained(axes, setting, arms, cost, quality, tips)
        _references(axes, setting, arms, cost, quality)
        axes.set_xlabel(f"training energy ({_kinds(arms)})" if cost == ENERGY else label(cost))
        arrow = {"lower": "lower is better", "higher": "higher is better"}.get(metric.direction, "")
        axes.set_ylabel(f"{label(quality)} ({metric.unit or '1'}), {arrow}")
        axes.xaxis.set_major_formatter(lambda value, _: short(format_value(cost, value)))
        axes.margins(0.12 if crowded else 0.22, 0.12 if crowded else 0.2)
        axes.set_xlim(left=0)  # else a saving of some percent fills the axis
        axes.xaxis.set_major_locator(_locator(axes, cost))
        labels = [(m[0], m[1], arm.label, "#1b1f23") for arm in arms if (m := _means(arm, cost, quality))]
        if untrained:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", handlelength=1.2)
        place_labels(axes, labels, avoid=[*untrained, *_along(axes, front)])
        return finish(
            figure,
            f"{setting.prefix}{name}",
            f"{label(quality)} against {label(cost)}",
            f"{label(quality)} against {label(cost)} for {plural(len(arms), 'model')}. Small marks are single trials, "
            "large ones means; the stepped line is the Pareto front: no model to its lower left.",
            _table(setting, arms, cost, quality, points),
            tips=tips,
            wide=crowded,
            note=_range_note(arms) if cost == ENERGY else "",
        )


def _locator(axes: Any, cost: str) -> Any:
    """Put ticks on round figures: powers of two for bytes."""
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    if METRICS[cost].unit != "B":
        return MaxNLocator(5)
    low, high = axes.get_xlim()
    return MultipleLocator(2.0 ** math.ceil(math.log2((high - low) / 4)))


def _means(arm: Arm, cost: str, quality: str) -> tuple[float, float]:
    energy, error = arm.mean(cost), arm.mean(quality)
    assert energy is not None
    assert error is not None
    return energy, error


def _points(axes: Any, arm: Arm, cost: str, quality: str, tips: dict[str, str]) -> None:
    look = Look.of(arm.index)
    energy, error = arm.values(cost), arm.values(quality)
    seeds = sorted(energy.keys() & error.keys())
    if len(seeds) > MAX_MARKS:
        axes.plot(
            [energy[s] for s in seeds],
            [error[s] for s in seeds],
            look.marker,
            color=look.colour,
            markersize=3,
            alpha=0.3,
            markeredgewidth=0,
        )
    for seed in seeds if len(seeds) <= MAX_MARKS else ():
        (dot,) = axes.plot(
            energy[seed], error[seed], look.marker, color=look.colour, markersize=4, alpha=0.45, markeredgewidth=0
        )
        dot.set_gid(f"p-{arm.index}-{seed}")
        tips[f"p-{arm.index}-{seed}"] = (
            f"{arm.label}, seed {seed}: {format_value(quality, error[seed])}, {format_value(cost, energy[seed])}"
        )
    x, y = _means(arm, cost, quality)
    (mean,) = axes.plot(
        x, y, look.marker, color=look.colour, markersize=9.5, markeredgecolor="#fefefe", markeredgewidth=1
    )
    mean.set_gid(f"m-{arm.index}")
    spread = arm.spread(quality)
    tips[f"m-{arm.index}"] = (
        f"{arm.label}: {format_value(quality, y)}{f' ± {spread:.2g} over seeds' if spread else ''}, "
        f"{format_value(cost, x)}"
    )


def _front(
    axes: Any, arms: Sequence[Arm], cost: str, quality: str, points: dict[str, ParetoPoint]
) -> list[tuple[float, float]]:
    """Draw the Pareto front and return its models' places, from the cheapest on."""
    best = sorted(_means(arm, cost, quality) for arm in arms if arm.label in points and points[arm.label].on_front)
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color="#57606b", linewidth=1.1, zorder=1)
    return best


def _along(axes: Any, front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places along the stepped front, close enough that no label slips between them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    places = []
    for (x0, y0), (x1, y1) in pairwise(front):
        across, down = round(80 * abs(x1 - x0) / (right - left)), round(60 * abs(y1 - y0) / (top - bottom))
        places += [(x0 + (x1 - x0) * k / (across + 1), y0) for k in range(1, across + 2)]
        places += [(x1, y0 + (y1 - y0) * k / (down + 1)) for k in range(1, down + 1)]
    return places


def _right_is_free(axes: Any, value: float, means: Sequence[tuple[float, float]]) -> bool:
    """Whether no model's mark stands beside a line's right end; its label goes to the other end then."""
    low, high = axes.get_ylim()
    beside = [x for x, y in means if abs(y - value) < 0.08 * abs(high - low)]
    middle = sum((min(x for x, _ in means), max(x for x, _ in means))) / 2
    return not any(x >= middle for x in beside)


def _marked(setting: Setting, arms: Sequence[Arm], quality: str) -> dict[Arm, Arm]:
    """The controls that are drawn as marks beside their models, by model."""
    if len(setting.controls) <= MAX_LINES:
        return {}
    own = setting.own_random
    return {arm: own[arm] for arm in arms if arm in own and own[arm].mean(quality) is not None}


def _untrained(
    axes: Any, setting: Setting, arms: Sequence[Arm], cost: str, quality: str, tips: dict[str, str]
) -> list[tuple[float, float]]:
    """Draw each model's own random weights, above or below its mark, and return where the marks stand.

    They have no pretraining cost of their own, so they stand at their model's.
    """
    places: list[tuple[float, float]] = []
    for arm, control in _marked(setting, arms, quality).items():
        (x, y), drawn = _means(arm, cost, quality), control.mean(quality)
        assert drawn is not None
        axes.plot([x, x], [y, drawn], color="#d9dde2", linewidth=1.1, zorder=0.5)
        (mark,) = axes.plot(
            x, drawn, "_", color="#57606b", markersize=7, markeredgewidth=1.3, linestyle="none", zorder=1
        )
        mark.set_gid(f"r-{arm.index}")
        tips[f"r-{arm.index}"] = f"{control_name(control)}: {format_value(quality, drawn)}"
        if not places:
            mark.set_label("the same model with random weights")
        places.append((x, drawn))
    return places


def _references(axes: Any, setting: Setting, arms: Sequence[Arm], cost: str, quality: str) -> None:
    """Draw controls as horizontal lines (they burn no pretraining joules) and a budget in joules as a vertical one."""
    marked = _marked(setting, arms, quality).values()
    lines = [control for control in setting.controls if control not in marked]
    values = {control: v for control in lines if (v := control.mean(quality)) is not None}
    for control, value in values.items():
        above = value == max(values.values())
        right = _right_is_free(axes, value, [_means(arm, cost, quality) for arm in arms])
        axes.axhline(value, color="#57606b", linestyle=(0, (2, 2)), linewidth=1, zorder=0)
        axes.annotate(
            control_name(control),
            (1 if right else 0, value),
            xycoords=("axes fraction", "data"),
            xytext=(-2 if right else 3, 2 if above else -3),
            textcoords="offset points",
            ha="right" if right else "left",
            va="bottom" if above else "top",
            fontsize=9,
            color="#57606b",
        )
    limit = setting.keys.get("budget_limit")
    if cost == ENERGY and setting.keys.get("budget_kind") == "joules" and limit:
        axes.axvline(float(limit), color="#1b1f23", linewidth=1.1, zorder=0)
        axes.annotate(
            "budget",
            (float(limit), 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            rotation=90,
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=9,
            color="#1b1f23",
        )


def _range_note(arms: Sequence[Arm]) -> str:
    """Say by what factor the joules may be off; an error of the power model is the same for all models."""
    spans = [(span, mean) for arm in arms if (span := arm.energy_range(ENERGY)) and (mean := arm.mean(ENERGY))]
    if not spans or all(arm.energy_kind == "measured" for arm in arms):
        return ""
    low = statistics.fmean(span[0] / mean for span, mean in spans)
    high = statistics.fmean(span[1] / mean for span, mean in spans)
    return (
        f"Energy is {_kinds(arms)}: true joules lie between × {low:.2f} and × {high:.2f} of those drawn. What the "
        "model gets wrong it gets wrong for every model on this machine, so the points move together."
    )


def _kinds(arms: Sequence[Arm]) -> str:
    kinds = sorted({arm.energy_kind for arm in arms} - {""})
    return " and ".join(kinds) or "kind not recorded"


def _table(setting: Setting, arms: Sequence[Arm], cost: str, quality: str, points: dict[str, ParetoPoint]) -> Table:
    rows = []
    for arm in arms:
        error, spent = arm.values(quality), arm.values(cost)
        # One run alone cannot be resampled: its share would be 0 or 100 %, whatever it is worth.
        several = arm.label in points and points[arm.label].runs > 1
        surely = f"{points[arm.label].front_probability:.0%}" if several else ""
        rows += [
            (arm.label, str(seed), format_value(quality, error[seed]), format_value(cost, spent[seed]), surely)
            for seed in sorted(error.keys() & spent.keys())
        ]
    rows += [
        (control_name(arm), str(seed), format_value(quality, value), "", "")
        for arm in setting.controls
        for seed, value in sorted(arm.values(quality).items())
    ]
    heads = ("model", "seed", label(quality), label(cost), "on the front in resampled runs")
    if any(row[-1] for row in rows):
        return Table(heads, tuple(rows))
    return Table(heads[:-1], tuple(row[:-1] for row in rows))
