"""Conversion and formatting of units; the only place where a factor between units is written.

Internal units are SI: joules, seconds, watts, bytes, grams of CO2 equivalent, FLOPs. One multiply-accumulate
(MAC) is two floating point operations (FLOP).
"""

from __future__ import annotations

import math

JOULES_PER_KWH = 3_600_000.0
NS_PER_S = 1_000_000_000
FLOPS_PER_MAC = 2
SECONDS_PER_HOUR = 3600.0

SAMPLE_RATE = 16_000
"""Samples a second of all audio after decoding, Hz."""

_SI = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")]
_BINARY = [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]


def joules_to_kwh(energy_j: float) -> float:
    """Convert joules to kilowatt-hours."""
    return energy_j / JOULES_PER_KWH


def hours(duration_s: float) -> float:
    """Convert seconds to hours."""
    return duration_s / SECONDS_PER_HOUR


def format_si(value: float | None, unit: str, digits: int = 3) -> str:
    """Format with an SI prefix: ``format_si(1530, "J") == "1.53 kJ"``; absent is an empty string."""
    if value is None or math.isnan(value):
        return ""
    if value == 0 or math.isinf(value):
        return f"{value:g} {unit}".rstrip()
    scale, prefix = next(((s, p) for s, p in _SI if abs(value) >= s * (1 - 0.5 * 10**-digits)), _SI[-1])
    return f"{_significant(value / scale, digits)} {prefix}{unit}".rstrip()


def format_bytes(value: float | None) -> str:
    """Format bytes with a binary prefix: ``"1.50 GiB"``; absent is an empty string."""
    if value is None:
        return ""
    scale, name = next(((s, n) for s, n in _BINARY if abs(value) >= s), _BINARY[-1])
    return f"{_significant(value / scale, 3)} {name}"


def format_duration(duration_s: float | None) -> str:
    """Format seconds as ``"850 ms"``, ``"42.0 s"``, ``"3 min 05 s"`` or ``"2 h 10 min"``; absent is empty."""
    if duration_s is None:
        return ""
    if duration_s < 1:
        return f"{duration_s * 1000:.0f} ms"
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    if duration_s < 3600:
        minutes, seconds = divmod(round(duration_s), 60)
        return f"{minutes} min {seconds:02d} s"
    hour, minutes = divmod(round(duration_s / 60), 60)
    return f"{hour} h {minutes:02d} min"


def _significant(value: float, digits: int) -> str:
    if not value:
        return "0"
    # Rounding may carry into a new digit (0.9996 -> 1.00): the number of decimals follows the rounded figure.
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
