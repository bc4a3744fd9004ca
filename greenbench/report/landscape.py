"""The landscape: figures and tables of what papers published, beside what these runs measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from greenbench.report.arms import Setting
from greenbench.report.figures.canvas import Figure
from greenbench.report.figures.landscape import flops_against_error, hours_against_error, macs_against_error
from greenbench.report.figures.years import year_map
from greenbench.report.published import entries_of, readable_cards
from greenbench.report.tables.cells import TableView
from greenbench.report.tables.published import cost_table, published_table, techniques_table


@dataclass(frozen=True)
class Landscape:
    """Figures and tables drawn from the cards."""

    figures: list[Figure] = field(default_factory=list)
    costs: TableView = field(default_factory=lambda: TableView("Costs of models"))
    costs_note: str = ""
    published: TableView = field(default_factory=lambda: TableView("Published figures and their sources"))
    techniques: TableView = field(default_factory=lambda: TableView("Techniques"))


def build_landscape(settings: Sequence[Setting] = ()) -> Landscape:
    """Draw the landscape from all shipped cards; cards that cannot be read are left out."""
    cards = readable_cards()
    entries = [entry for card in cards for entry in entries_of(card)]
    drawn = [
        year_map(cards),
        macs_against_error(entries),
        flops_against_error(entries, settings),
        hours_against_error(entries),
    ]
    costs, note = cost_table(entries, settings)
    figures = [f for f in drawn if f is not None]
    return Landscape(figures, costs, note, published_table(entries), techniques_table(cards, settings))
