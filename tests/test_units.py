"""Units: conversions invert, formatting keeps the figure."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench import units


@given(st.floats(1e-9, 1e15))
def test_a_kilowatt_hour_is_3_6_megajoules(energy_j: float) -> None:
    assert math.isclose(units.joules_to_kwh(energy_j) * 3.6e6, energy_j, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 J"),
        (1530, "1.53 kJ"),
        (999.6, "1.00 kJ"),
        (0.0021, "2.10 mJ"),
        (12.34, "12.3 J"),
        (-1530, "-1.53 kJ"),
        (None, ""),
        (float("nan"), ""),
        (float("inf"), "inf J"),
        (3.1e19, "31.0 EJ"),
    ],
)
def test_si_prefixes(value: float | None, text: str) -> None:
    assert units.format_si(value, "J") == text


_PREFIX = {p: s for s, p in units._SI}


@given(st.floats(1e-5, 1e20))
def test_formatted_figures_are_within_half_a_digit(value: float) -> None:
    number, unit = units.format_si(value, "J").split(" ")
    assert math.isclose(float(number) * _PREFIX[unit.removesuffix("J")], value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (42, "42.0 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (3599.9, "60 min 00 s"), (None, "")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert units.format_duration(seconds) == text


def test_bytes() -> None:
    assert units.format_bytes(3 * 2**29) == "1.50 GiB"
    assert units.format_bytes(None) == ""
