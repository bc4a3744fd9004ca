"""Published costs against published error, the FLOPs of these runs beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenbench.report.arms import Setting
from greenbench.report.figures.canvas import WIDTH_IN, Figure, Table, canvas, finish
from greenbench.report.figures.labels import place_labels, place_legend, short
from greenbench.report.figures.palette import Look
from greenbench.report.published import FAMILY_ORDER, FLOPS, GPU_HOURS, MACS, SCORE, Entry, scaled, sources, with_unit
from greenbench.units import format_si

MAX_NAMED = 5
"""With more models in the runs than this, few of their marks are named in the landscape."""


def hours_against_error(entries: Sequence[Entry]) -> Figure | None:
    """Draw the published GPU-hours of pretraining against the published phone error."""
    points = _published_points(entries, GPU_HOURS)
    return _scatter(
        points,
        "landscape-hours",
        "Pretraining hours against phone error",
        "GPU-hours of pretraining (GPUs differ, see the table)",
        "Published figures only.",
    )


def macs_against_error(entries: Sequence[Entry]) -> Figure | None:
    """Draw the published operations per second of audio against the published phone error."""
    points = _published_points(entries, MACS)
    return _scatter(
        points,
        "landscape-macs",
        "Operations against phone error",
        "multiply-accumulates per second of audio",
        "Published figures only.",
    )


def flops_against_error(entries: Sequence[Entry], settings: Sequence[Setting]) -> Figure | None:
    """Draw pretraining FLOPs against phone error, published points filled and measured ones hollow."""
    points = _published_points(entries, FLOPS)
    for setting in settings:
        quality = setting.headline
        for arm in setting.contestants if quality == "phones_per_pct" else ():
            flops, error = arm.mean("pretrain_flops"), arm.mean(quality or "")
            if flops and error is not None:
                family = arm.trials[0].family
                tip = f"{arm.label}: {format_si(flops, 'FLOP')}, {error:.1f} % phone error, measured here"
                points.append(Point(arm.label, family, flops, error, tip, "these runs", measured=True))
    points = _few_named(points)
    words = (
        "Filled: computed from published configurations, SUPERB phone error. Hollow: counted and measured in "
        "these runs on "
        "their own corpus and probe, so only the horizontal distance compares."
    )
    if any(p.measured and not p.named for p in points):
        words += f" Of more than {MAX_NAMED} models only those that no other beats in both are named."
    return _scatter(points, "landscape-flops", "Pretraining FLOPs against phone error", "FLOPs of pretraining", words)


@dataclass(frozen=True)
class Point:
    """One mark of a landscape figure."""

    name: str
    family: str
    cost: float
    error: float
    tip: str
    source: str
    measured: bool = False
    named: bool = True


def _few_named(points: Sequence[Point]) -> list[Point]:
    """Leave the names of measured points to those on their Pareto front where there are many: they lie close."""
    ran = [p for p in points if p.measured]
    if len(ran) <= MAX_NAMED:
        return list(points)
    beaten = {p for p in ran if any(o.cost <= p.cost and o.error <= p.error and o is not p for o in ran)}
    return [replace(p, named=p not in beaten) for p in points]


def _published_points(entries: Sequence[Entry], cost: str) -> list[Point]:
    points = []
    for entry in entries:
        c, s = entry.figures.get(cost), entry.figures.get(SCORE)
        if c is not None and s is not None and c.value > 0:
            tip = f"{entry.name}: {with_unit(c)}, {s.value:g} % phone error ({c.evidence}, {s.evidence})"
            points.append(Point(entry.name, entry.card.card.family, scaled(c), s.value, tip, sources(c, s)))
    return points


def _scatter(points: Sequence[Point], name: str, title: str, x_label: str, words: str) -> Figure | None:
    if not points:
        return None
    from matplotlib.ticker import LogLocator

    tips: dict[str, str] = {}
    families = [f for f in (*FAMILY_ORDER, "") if any(p.family == f for p in points)]
    mixed = any(p.measured for p in points)
    crowded = mixed or len(points) > 12
    with canvas(4.6 if crowded else 3.9, width_in=7.6 if crowded else WIDTH_IN) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        if mixed:  # errors of different tasks lie far apart
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for family in families:
            axes.plot([], [], family_look(family).marker, color=family_look(family).colour, label=family or "own")
        if mixed:
            plain: dict[str, Any] = {"color": "#57606b", "linestyle": "none", "markersize": 7}
            axes.plot([], [], "o", label="published", **plain)
            axes.plot([], [], "o", label="these runs", markerfacecolor="none", **plain)
        for number, point in enumerate(points):
            look = family_look(point.family)
            face = "none" if point.measured else look.colour
            (dot,) = axes.plot(
                point.cost,
                point.error,
                look.marker,
                color=look.colour,
                markerfacecolor=face,
                markersize=7,
                linestyle="none",
            )
            dot.set_gid(f"{name}-{number}")
            tips[f"{name}-{number}"] = point.tip
        axes.set_xlabel(x_label)
        axes.set_ylabel("phone error (%), lower is better")
        axes.margins(0.16, 0.12)
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if _decades(axes) > 2.5 else (1.0, 2.0, 5.0)))
        axes.minorticks_off()
        labels = [(p.cost, p.error, p.name, "#1b1f23") for p in points if p.named]
        others = [(p.cost, p.error) for p in points if not p.named]
        place_labels(axes, labels, size=8.5, avoid=others)
        place_legend(figure, axes, len(families) + 2 * mixed)
        rows = [(p.name, p.tip.partition(": ")[2], p.source) for p in points]
        table = Table(("model", "figures", "source"), tuple(rows))
        return finish(figure, name, title, words, table, tips=tips, note=words, wide=crowded)


def _tick(value: float) -> str:
    """Write powers of ten beyond the SI prefixes in use (exa) as such."""
    if value < 1e18:
        return short(format_si(value, ""))
    digit, _, exponent = f"{value:.0e}".partition("e+")
    power = exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{power}" if digit == "1" else f"{digit}·10{power}"


def _decades(axes: Any) -> float:
    low, high = axes.get_xlim()
    return math.log10(high / low)


def family_look(family: str) -> Look:
    """The mark of a model family; unknown ones share the last."""
    return Look.of(FAMILY_ORDER.index(family) if family in FAMILY_ORDER else len(FAMILY_ORDER))
