"""The landscape: what papers published, from the model cards, beside what these runs measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from greenbench.cards import Card, PublishedFigure, card_names, load_card
from greenbench.errors import ConfigError
from greenbench.report.arms import Arm, Setting
from greenbench.report.figures.style import (
    WIDTH_IN,
    Figure,
    Look,
    Table,
    canvas,
    finish,
    place_labels,
    place_legend,
    short,
)
from greenbench.report.sections import ranked
from greenbench.report.view import Cell, Head, Row, TableView
from greenbench.units import FLOPS_PER_MAC, format_si

GPU_HOURS, SCORE, MACS, FLOPS = "gpu_h", "superb_pr_per_pct", "gmac_per_s", "pretrain_flops_counted"
MAX_NAMED = 5
"""With more models in the runs than this, few of their marks are named in the landscape."""
_FAMILY_ORDER = ("predictive", "contrastive", "multilingual", "distilled", "efficient", "pretrained", "own")


@dataclass(frozen=True)
class Landscape:
    """Figures and tables drawn from the cards."""

    figures: list[Figure] = field(default_factory=list)
    costs: TableView = field(default_factory=lambda: TableView("Costs of models"))
    costs_note: str = ""
    published: TableView = field(default_factory=lambda: TableView("Published figures and their sources"))
    techniques: TableView = field(default_factory=lambda: TableView("Techniques"))


@dataclass(frozen=True)
class Entry:
    """One published system: a card's variant with its figures by metric."""

    card: Card
    variant: str
    figures: dict[str, PublishedFigure]

    @property
    def name(self) -> str:
        """Return the name that is shown."""
        title = self.card.card.title
        # A size like "base" or "300m" needs its model's name; a name of its own ("DPWavLM") does not.
        own = self.variant[:1].isupper() or title.lower() in self.variant.lower()
        return self.variant if own and self.variant else f"{title} {self.variant}".strip()

    def value(self, metric: str) -> float | None:
        """Return a published figure in base units, or ``None``."""
        figure = self.figures.get(metric)
        return scaled(figure) if figure else None


def build_landscape(settings: Sequence[Setting] = ()) -> Landscape:
    """Draw the landscape from all shipped cards; cards that cannot be read are left out."""
    cards = []
    for name in card_names():
        try:
            cards.append(load_card(name))
        except ConfigError:
            continue
    cards = [card for card in cards if card.card.family != "control"]
    entries = [entry for card in cards for entry in entries_of(card)]
    drawn = [
        year_map(cards),
        macs_against_error(entries),
        flops_against_error(entries, settings),
        hours_against_error(entries),
    ]
    ran = {arm.trials[0].manifest.get("card") for s in settings for arm in s.contestants if arm.trials}
    costs, note = cost_table(entries, settings)
    figures = [f for f in drawn if f is not None]
    return Landscape(figures, costs, note, published_table(entries), techniques_table(cards, ran))


def entries_of(card: Card) -> list[Entry]:
    """Group a card's published figures by variant."""
    variants: dict[str, dict[str, PublishedFigure]] = {}
    for figure in card.published:
        variants.setdefault(figure.variant, {}).setdefault(figure.metric, figure)
    return [Entry(card, variant, figures) for variant, figures in variants.items()]


def _family_look(family: str) -> Look:
    return Look.of(_FAMILY_ORDER.index(family) if family in _FAMILY_ORDER else len(_FAMILY_ORDER))


def year_map(cards: Sequence[Card]) -> Figure | None:
    """Draw families by year: which approach came when."""
    dated = sorted((c for c in cards if c.card.year), key=lambda c: (c.card.year or 0, c.name))
    if not dated:
        return None
    families = [f for f in _FAMILY_ORDER if any(c.card.family == f for c in dated)]
    depth = {f: _stacked([c for c in dated if c.card.family == f]) for f in families}
    lanes, tips, base = {}, {}, 0.0
    for family in families:
        lanes[family] = base
        base += max(depth[family].values(), default=0) + 1.6
    with canvas(0.7 + 0.27 * base, width_in=7.6) as figure:
        axes = figure.add_subplot()
        for number, card in enumerate(dated):
            family = card.card.family
            x, y = card.card.year or 0, lanes[family] + depth[family][card.name]
            look = _family_look(family)
            (dot,) = axes.plot(x, y, look.marker, color=look.colour, markersize=7)
            dot.set_gid(f"y-{number}")
            tips[f"y-{number}"] = f"{card.card.title} ({family}, {x}): {card.card.summary}"
            axes.annotate(card.card.title, (x, y), (7, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(list(lanes.values()), list(lanes))
        axes.tick_params(axis="y", length=0, labelcolor="#1b1f23")
        years = [c.card.year or 0 for c in dated]
        axes.set_xticks(range(min(years), max(years) + 1))
        axes.set_xlim(min(years) - 0.3, max(years) + 1.1)
        axes.set_ylim(base - 0.8, -0.8)
        axes.grid(axis="y", visible=False)
        table = Table(
            ("model", "family", "year", "paper"),
            tuple((c.card.title, c.card.family, str(c.card.year), c.card.paper) for c in dated),
        )
        words = "Each mark is a model card, placed by the year of its publication in the lane of its family."
        return finish(figure, "landscape-years", "Approaches by family and year", words, table, tips=tips, wide=True)


def _stacked(cards: Sequence[Card]) -> dict[str, int]:
    """Give cards whose labels would collide (same year, or the year after) rows of their own."""
    rows: list[int] = []
    places = {}
    for card in cards:
        year = card.card.year or 0
        row = next((i for i, last in enumerate(rows) if last < year - 1), len(rows))
        rows[row : row + 1] = [year]
        places[card.name] = row
    return places


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
                family = str(arm.trials[0].manifest.get("family") or "")
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
            tip = f"{entry.name}: {_shown(c)}, {s.value:g} % phone error ({c.evidence}, {s.evidence})"
            points.append(Point(entry.name, entry.card.card.family, scaled(c), s.value, tip, _sources(c, s)))
    return points


def _scatter(points: Sequence[Point], name: str, title: str, x_label: str, words: str) -> Figure | None:
    if not points:
        return None
    from matplotlib.ticker import LogLocator

    tips: dict[str, str] = {}
    families = [f for f in (*_FAMILY_ORDER, "") if any(p.family == f for p in points)]
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
            axes.plot([], [], _family_look(family).marker, color=_family_look(family).colour, label=family or "own")
        if mixed:
            plain: dict[str, Any] = {"color": "#57606b", "linestyle": "none", "markersize": 7}
            axes.plot([], [], "o", label="published", **plain)
            axes.plot([], [], "o", label="these runs", markerfacecolor="none", **plain)
        for number, point in enumerate(points):
            look = _family_look(point.family)
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


_FACTORS = {"M": 1e6, "G": 1e9, "k": 1e3, "B": 1e9, "million": 1e6, "billion": 1e9}


def scaled(figure: PublishedFigure) -> float:
    """Return the value in base units: a unit like ``M`` or ``GMAC/s`` carries its factor."""
    unit = figure.unit.strip()
    if unit in _FACTORS:
        return figure.value * _FACTORS[unit]
    if len(unit) > 1 and unit[0] in "MGk" and unit[1:].upper().startswith(("MAC", "FLOP")):
        return figure.value * _FACTORS[unit[0]]
    return figure.value


def _shown(figure: PublishedFigure | None) -> str:
    return "" if figure is None else f"{figure.value:,.4g} {figure.unit}".strip()


def _sources(*figures: PublishedFigure) -> str:
    return "; ".join(dict.fromkeys(figure.source for figure in figures))


_COSTS = (
    ("params_m", "params", "Parameters", ""),
    (MACS, "flops_forward_per_audio_s", "MAC / s of audio", "MAC"),
    (FLOPS, "pretrain_flops", "Pretraining FLOPs", "FLOP"),
    (GPU_HOURS, "", "Pretraining GPU-hours", ""),
    ("pretrain_data_h", "", "Data hours", ""),
    (SCORE, "", "SUPERB phone error", "%"),
    ("superb_asr_wer_pct", "", "SUPERB word error", "%"),
)


def cost_table(entries: Sequence[Entry], settings: Sequence[Setting]) -> tuple[TableView, str]:
    """Hold published costs against the best model of these runs; counts and hours stay in their own columns."""
    setting = settings[0] if settings else None
    arms = ranked(setting) if setting else []
    reference = _measured(arms[0]) if arms else {}
    columns = [c for c in _COSTS if any(c[0] in e.figures for e in entries)]
    rows = []
    for arm in arms:
        own = _measured(arm)
        rows.append(
            Row((Cell(arm.label, notes=("these runs",)), *(_cost_cell(c, own, reference) for c in columns)), "base")
        )
    for entry in entries:
        own = {metric: value for metric, *_ in columns if (value := entry.value(metric)) is not None}
        if own.keys() - {"pretrain_data_h"}:
            rows.append(Row((Cell(entry.name), *(_cost_cell(c, own, reference) for c in columns))))
    heads = (
        Head("Model"),
        *(Head(label, "lower" if unit != "" or "Param" in label else "none") for _, _, label, unit in columns),
    )
    note = ""
    if arms and reference:
        note = (
            f"× is how many times the cost of {arms[0].label} as it ran here (size {_size(arms[0])}); shaded rows were "
            "counted here, all others are published."
        )
    return TableView("Costs of models, published and counted", heads, tuple(rows)), note


def _size(arm: Arm) -> str:
    return str(arm.trials[0].manifest.get("size") or "unknown")


def _measured(arm: Arm) -> dict[str, float]:
    found = {}
    for metric, own, _, _ in _COSTS:
        value = arm.mean(own) if own else None
        if value is not None:
            found[metric] = value / FLOPS_PER_MAC if metric == MACS else value
    return found


def _cost_cell(column: tuple[str, str, str, str], own: dict[str, float], reference: dict[str, float]) -> Cell:
    metric, _, _, unit = column
    value = own.get(metric)
    if value is None:
        return Cell("")
    shown = (
        f"{value:g} %"
        if unit == "%"
        else f"{value:,.0f} h"
        if metric in (GPU_HOURS, "pretrain_data_h")
        else format_si(value, unit)
    )
    base = reference.get(metric)
    factor = value / base if base else None
    notes = (f"× {factor:,.0f}" if factor >= 10 else f"× {factor:.2g}",) if factor and factor != 1 else ()
    return Cell(shown, value, notes)


def published_table(entries: Sequence[Entry]) -> TableView:
    """List every published figure with its source; nothing here was measured by greenbench."""
    rows = []
    for entry in entries:
        for metric, figure in entry.figures.items():
            source = figure.source + (f" ({figure.note})" if figure.note else "")
            cells = (
                Cell(entry.name),
                Cell(entry.card.card.family),
                Cell(metric),
                Cell(_shown(figure), scaled(figure)),
                Cell(figure.evidence),
                Cell(source),
            )
            rows.append(Row(cells))
    heads = (Head("Model"), Head("Family"), Head("Figure"), Head("Value"), Head("Evidence"), Head("Source"))
    return TableView("Published figures and their sources", heads, tuple(rows), text=(0, 1, 2, 4, 5))


def techniques_table(cards: Sequence[Card], ran: set[Any]) -> TableView:
    """List the techniques that cards name with the models that use them; those of these runs come first, starred."""
    users = sorted(
        (card for card in cards if card.card.techniques), key=lambda c: (c.name not in ran, c.card.title.lower())
    )
    names = list(dict.fromkeys(t for card in users for t in card.card.techniques))
    names.sort(key=lambda t: (-sum(t in c.card.techniques for c in users), t))
    rows = []
    for technique in names:
        using = [c.card.title + (" *" if c.name in ran else "") for c in users if technique in c.card.techniques]
        rows.append(Row((Cell(technique), Cell(str(len(using)), len(using)), Cell(", ".join(using)))))
    return TableView(
        "Techniques", (Head("Technique"), Head("Models"), Head("Which (* ran here)")), tuple(rows), text=(0, 2)
    )
