"""Which approach came when: model cards by family and year."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.cards import Card
from greenbench.report.figures.canvas import Figure, Table, canvas, finish
from greenbench.report.figures.landscape import family_look
from greenbench.report.published import FAMILY_ORDER


def year_map(cards: Sequence[Card]) -> Figure | None:
    """Draw families by year: which approach came when."""
    dated = sorted((c for c in cards if c.card.year), key=lambda c: (c.card.year or 0, c.name))
    if not dated:
        return None
    families = [f for f in FAMILY_ORDER if any(c.card.family == f for c in dated)]
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
            look = family_look(family)
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
