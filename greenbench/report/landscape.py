"""The landscape: what papers published, from the model cards, beside what these runs measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from greenbench.cards import Card, PublishedFigure, card_names, load_card
from greenbench.errors import ConfigError
from greenbench.report.collect import Setting
from greenbench.report.figures.style import Figure, Look, Table, canvas, finish, place_labels, place_legend
from greenbench.report.view import Cell, Head, Row, TableView
from greenbench.units import format_si

# Figures are published under these names; the first of a card and variant counts.
COST = ("gpu_hours",)
SCORE = ("superb_pr_per", "superb_pr_per_pct", "superb_per_pct")
MACS = ("macs_per_audio_s", "gmac_per_s", "gmacs_per_audio_s")
_FAMILY_ORDER = ("predictive", "contrastive", "multilingual", "distilled", "efficient", "pretrained", "own")
_GROUPS = {
    "architecture": "architecture", "attention": "attention", "optimisation": "optimisation", "optimization": "optimisation",
    "transfer": "transfer", "data": "data",
}  # fmt: skip


@dataclass(frozen=True)
class Landscape:
    """Figures and tables drawn from the cards."""

    figures: list[Figure] = field(default_factory=list)
    published: TableView = field(default_factory=lambda: TableView("Published costs and scores"))
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
        return self.variant or self.card.card.title

    def first(self, names: Sequence[str]) -> PublishedFigure | None:
        """Return the first figure among several names."""
        return next((self.figures[n] for n in names if n in self.figures), None)


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
    drawn = [year_map(cards), cost_against_error(entries), macs_against_error(entries)]
    ran = {arm.trials[0].manifest.get("card") for s in settings for arm in s.contestants if arm.trials}
    return Landscape([f for f in drawn if f is not None], published_table(entries), techniques_table(cards, ran))


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


def cost_against_error(entries: Sequence[Entry]) -> Figure | None:
    """Draw the published GPU-hours of pretraining against the published phone error."""
    return _scatter(
        entries, COST, "landscape-cost", "Pretraining cost against phone error, as published",
        "GPU-hours of pretraining (different GPUs, see table)", "SUPERB phone error (%), lower is better",
    )  # fmt: skip


def macs_against_error(entries: Sequence[Entry]) -> Figure | None:
    """Draw the published operations per second of audio against the published phone error."""
    return _scatter(
        entries, MACS, "landscape-macs", "Operations against phone error, as published",
        "multiply-accumulates per second of audio", "SUPERB phone error (%), lower is better",
    )  # fmt: skip


def _scatter(
    entries: Sequence[Entry], cost: Sequence[str], name: str, title: str, x_label: str, y_label: str
) -> Figure | None:
    points = [(e, c, s) for e in entries if (c := e.first(cost)) and (s := e.first(SCORE)) and c.value > 0]
    if not points:
        return None
    tips: dict[str, str] = {}
    with canvas(3.9) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        seen = set()
        for number, (entry, c, s) in enumerate(points):
            family = entry.card.card.family
            look = _family_look(family)
            label = None if family in seen else family
            seen.add(family)
            (dot,) = axes.plot(scaled(c), s.value, look.marker, color=look.colour, markersize=7, linestyle="none", label=label)
            dot.set_gid(f"{name}-{number}")
            tips[f"{name}-{number}"] = f"{entry.name}: {_shown(c)}, {s.value:g} % phone error ({s.evidence})"
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.margins(0.16, 0.12)
        axes.xaxis.set_major_formatter(lambda value, _: format_si(value, "", 1))
        axes.minorticks_off()
        place_labels(axes, [(scaled(c), s.value, e.name, "#1b1f23") for e, c, s in points])
        place_legend(figure, axes, len(seen))
        table = Table(
            ("model", "cost", "phone error", "evidence", "source"),
            tuple((e.name, _shown(c), f"{s.value:g} %", f"{c.evidence} / {s.evidence}", _sources(c, s)) for e, c, s in points),
        )
        words = "Published figures only, none measured here; hover or the table gives values, the table the sources."
        return finish(figure, name, title, words, table, tips=tips)


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


def published_table(entries: Sequence[Entry]) -> TableView:
    """List every published figure with its source; nothing here was measured by greenbench."""
    rows = []
    for entry in entries:
        for metric, figure in entry.figures.items():
            source = figure.source + (f" ({figure.note})" if figure.note else "")
            cells = (Cell(entry.name), Cell(entry.card.card.family), Cell(metric), Cell(_shown(figure), scaled(figure)),
                     Cell(figure.evidence), Cell(source))  # fmt: skip
            rows.append(Row(cells))
    heads = (Head("Model"), Head("Family"), Head("Figure"), Head("Value"), Head("Evidence"), Head("Source"))
    return TableView("Published costs and scores", heads, tuple(rows), text=(0, 1, 2, 4, 5))


def techniques_table(cards: Sequence[Card], ran: set[Any]) -> TableView:
    """Cross the techniques that cards name with the models that use them."""
    users = [card for card in cards if card.card.techniques]
    names = list(dict.fromkeys(t for card in users for t in card.card.techniques))
    names.sort(key=lambda t: (-sum(t in c.card.techniques for c in users), t))
    heads = (Head("Technique"), *(Head(c.card.title, note="in these runs" if c.name in ran else "") for c in users))
    rows = [Row((Cell(t), *(Cell("●" if t in c.card.techniques else "") for c in users))) for t in names]
    return TableView("Techniques by model", heads, tuple(rows))
