"""Figures in running text: units kept with their numbers, budgets in words, differences with sign and interval."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from greenbench.metrics import METRICS, format_value
from greenbench.report.arms import Arm, Setting
from greenbench.units import format_duration, format_si

if TYPE_CHECKING:
    from greenbench.compare import Comparison


_UNITS = re.compile(
    r"(?<=[\d.]) (?=(?:%|[kMGTPEmµ]?(?:J|W|FLOP|gCO2e|s|h|min|B)|[KMGT]iB|±|points)(?![A-Za-z]))|(?<=±) "
)


def keep_together(text: str) -> str:
    """Join numbers and their units by no-break spaces, so that no line ends between them."""
    return _UNITS.sub("\N{NO-BREAK SPACE}", text)


_CURRENCY: dict[str, Callable[[float], str]] = {
    "seconds": format_duration,
    "joules": lambda v: format_si(v, "J"),
    "flops": lambda v: format_si(v, "FLOP"),
    "audio_hours": lambda v: f"{v:g} h of audio",
    "steps": lambda v: f"{v:g} step{'s' * (v != 1)}",
    "grams_co2e": lambda v: format_si(v, "gCO2e"),
}


def budget_words(setting: Setting) -> str:
    """The budget in words: ``"45.0 s"``, ``"2.00 kJ"``; empty where none is recorded."""
    kind, limit = setting.keys.get("budget_kind", ""), setting.keys.get("budget_limit", "")
    return in_currency(kind, float(limit)) if limit else ""


def in_currency(kind: str, amount: float | None) -> str:
    """Write an amount of a budget's currency with its unit; empty where it is absent or the currency unknown."""
    return _CURRENCY[kind](amount) if amount is not None and kind in _CURRENCY else ""


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: ``"1 seed"``, ``"5 seeds"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def enumeration(names: Sequence[str], most: int) -> str:
    """Join names as a sentence does; of more than ``most`` the rest is counted: ``"a, b and 7 more"``."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def range_words(arm: Arm, name: str) -> str:
    """Write the range of an arm's joules, ``"18.3 J to 192 J"``; empty where the meter gave none."""
    span = arm.energy_range(name)
    return span_words(format_si(span[0], "J"), format_si(span[1], "J")) if span else ""


def span_words(low: str, high: str) -> str:
    """Join two amounts, their unit once where it is the same: ``"18.3 to 192 J"``."""
    number, _, unit = low.partition(" ")
    return f"{number if unit == high.partition(' ')[2] else low} to {high}"


def signed(metric: str, value: float) -> str:
    """Format a difference with its sign; differences of percentages are points."""
    if METRICS[metric].unit == "%":
        return f"{value:+.1f} points".replace("-", "−")
    text = format_value(metric, abs(value))
    return f"{'−' if value < 0 else '+'}{text}"


def interval(claim: Comparison, name: str) -> str:
    """The difference with its interval in the metric's unit."""
    if claim.low is None or claim.high is None:
        return f"difference {signed(name, claim.difference)}"
    low, high = signed(name, claim.low), signed(name, claim.high)
    return f"difference {signed(name, claim.difference)} (95 % interval {span_words(low, high)})"


def floor(claim: Comparison | None) -> str:
    """Say why so few runs decide nothing, to follow a sentence that says so."""
    if claim is None or claim.p_floor is None:
        return ""
    if claim.p_floor >= 1:
        return ": one run a side shows no spread to test against"
    return f": no exact test of {claim.n_base} against {claim.n_new} can go below p = {claim.p_floor:.2g}"


def mean_and_spread(arm: Arm, name: str) -> str:
    """Write an arm's mean with its standard deviation over seeds: ``"31.2 ± 0.4 %"``."""
    value, spread = arm.mean(name), arm.spread(name)
    text = format_value(name, value)
    if spread is None:
        return text
    number_, _, unit = text.partition(" ")
    shown = format_value(name, spread).partition(" ")[0]
    return f"{number_} ± {shown} {unit}".strip()
