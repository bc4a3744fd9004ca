"""What papers published, from the model cards: one entry a card and variant, figures in base units."""

from __future__ import annotations

from dataclasses import dataclass

from greenbench.cards import Card, PublishedFigure, card_names, load_card
from greenbench.errors import ConfigError

FAMILY_ORDER = ("predictive", "contrastive", "multilingual", "distilled", "efficient", "pretrained", "own")
GPU_HOURS, SCORE, MACS, FLOPS = "gpu_h", "superb_pr_per_pct", "gmac_per_s", "pretrain_flops_counted"


@dataclass(frozen=True)
class Entry:
    """One published system: a card's variant with its figures by metric."""

    card: Card
    variant: str
    figures: dict[str, PublishedFigure]

    @property
    def name(self) -> str:
        """The name that is shown."""
        title = self.card.card.title
        # A size like "base" or "300m" needs its model's name; a name of its own ("DPWavLM") does not.
        own = self.variant[:1].isupper() or title.lower() in self.variant.lower()
        return self.variant if own and self.variant else f"{title} {self.variant}".strip()

    def value(self, metric: str) -> float | None:
        """A published figure in base units, or ``None``."""
        figure = self.figures.get(metric)
        return scaled(figure) if figure else None


def readable_cards() -> list[Card]:
    """The shipped cards of models; controls and cards that cannot be read are left out."""
    cards = []
    for name in card_names():
        try:
            cards.append(load_card(name))
        except ConfigError:
            continue
    return [card for card in cards if card.card.family != "control"]


def entries_of(card: Card) -> list[Entry]:
    """Group a card's published figures by variant."""
    variants: dict[str, dict[str, PublishedFigure]] = {}
    for figure in card.published:
        variants.setdefault(figure.variant, {}).setdefault(figure.metric, figure)
    return [Entry(card, variant, figures) for variant, figures in variants.items()]


_FACTORS = {"M": 1e6, "G": 1e9, "k": 1e3, "B": 1e9, "million": 1e6, "billion": 1e9}


def scaled(figure: PublishedFigure) -> float:
    """The value in base units: a unit like ``M`` or ``GMAC/s`` carries its factor."""
    unit = figure.unit.strip()
    if unit in _FACTORS:
        return figure.value * _FACTORS[unit]
    if len(unit) > 1 and unit[0] in "MGk" and unit[1:].upper().startswith(("MAC", "FLOP")):
        return figure.value * _FACTORS[unit[0]]
    return figure.value


def with_unit(figure: PublishedFigure | None) -> str:
    """Write a published figure as its source does."""
    return "" if figure is None else f"{figure.value:,.4g} {figure.unit}".strip()


def sources(*figures: PublishedFigure) -> str:
    """Name the sources of figures, each once."""
    return "; ".join(dict.fromkeys(figure.source for figure in figures))
