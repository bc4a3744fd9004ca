"""Figures in running text: units kept with their numbers, budgets in words, differences with sign and interval."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    "steps": lambda v: f"{v:g} steps",
    "grams_co2e": lambda v: format_si(v, "gCO2e"),
}


def budget_words(setting: Setting) -> str:
    """Return the budget in words: ``"45.0 s"``, ``"2.00 kJ"``; empty where none is recorded."""
    kind, limit = setting.keys.get("budget_kind", ""), setting.keys.get("budget_limit", "")
    return _CURRENCY[kind](float(limit)) if kind in _CURRENCY and limit else ""


def signed(metric: str, value: float) -> str:
    """Format a difference with its sign; differences of percentages are points."""
    if METRICS[metric].unit == "%":
        return f"{value:+.1f} points".replace("-", "−")
    text = format_value(metric, abs(value))
    return f"{'−' if value < 0 else '+'}{text}"


def interval(claim: Comparison, name: str) -> str:
    """Return the difference with its interval in the metric's unit."""
    if claim.low is None or claim.high is None:
        return f"difference {signed(name, claim.difference)}"
    low, high = signed(name, claim.low), signed(name, claim.high)
    low = low.removesuffix(" points")
    return f"difference {signed(name, claim.difference)} (95 % interval {low} to {high})"


def floor(claim: Comparison | None) -> str:
    """Say the smallest p that so few runs can reach."""
    if claim is None or claim.p_floor is None:
        return "too few to test"
    if claim.p_floor >= 1:
        return "and one run a side shows no spread to test against"
    return f"and no exact test of {claim.n_base} against {claim.n_new} can go below p = {claim.p_floor:.2g}"


def mean_and_spread(arm: Arm, name: str) -> str:
    """Write an arm's mean with its standard deviation over seeds: ``"31.2 ± 0.4 %"``."""
    value, spread = arm.mean(name), arm.spread(name)
    text = format_value(name, value)
    if spread is None:
        return text
    number_, _, unit = text.partition(" ")
    shown = format_value(name, spread).partition(" ")[0]
    return f"{number_} ± {shown} {unit}".strip()
