"""What a device cannot have done is bridged or makes its window invalid, and is named: recorded and live."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.power.journal.file import JournalContents, Segment
from greenbench.power.journal.trace import Trace
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.power.sampler.totals import Totals
from greenbench.power.samples import DeviceInfo, Sample

NS = 1_000_000_000
HZ = 20
WATTS = 100.0
Rows = list[Sample]


def card(**more: Any) -> DeviceInfo:
    values = {"has_counter": True, "update_period_s": 0.1, "limit_w": 1400.0, "tolerance": 0.05, **more}
    return DeviceInfo("gpu0", "nvml", "measured", "gpu", **values)


def package(**more: Any) -> DeviceInfo:
    values = {"has_counter": True, "power_from": "counter", "update_period_s": 0.001, "tolerance": 0.05, **more}
    return DeviceInfo("package-0", "rapl", "measured", "cpu", **values)


def readings(info: DeviceInfo, seconds: float = 10.0, watts: float = WATTS) -> Rows:
    """A device at constant power, read 20 times a second: power unless it only counts, a counter if it has one."""
    rows = []
    period_s = info.update_period_s or 0.05
    for t in np.arange(0, seconds + 1e-9, 1 / HZ):
        row = Sample(round(t * NS), 1000, info.device, info.source, info.kind)
        row.power_w = None if info.power_from == "counter" else watts
        row.energy_j = 5000 + watts * math.floor(t / period_s + 1e-9) * period_s if info.has_counter else None
        rows.append(row)
    return rows


def window(info: DeviceInfo, rows: Rows, begin_s: float = 1.0, end_s: float = 9.0) -> WindowEnergy:
    segment = Segment(boot_id="boot", samples=rows, devices={info.device: info})
    return Trace(JournalContents([segment])).window(round(begin_s * NS), round(end_s * NS))


def live_joules(info: DeviceInfo, rows: Rows) -> float:
    totals = Totals([info])
    for row in rows:
        totals.add(row)
    energy_j = totals.now(rows[-1].t_mono_ns).energy_j
    assert energy_j is not None
    return energy_j


def within(found: WindowEnergy, exact_j: float) -> bool:
    low_j, high_j = found.energy.low_j, found.energy.high_j
    return low_j is not None and high_j is not None and low_j <= exact_j <= high_j


# -- power


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0, 0.0, 1500.0, 65_535.0, 4_294_967.295])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("counter", [True, False])
def test_a_power_that_no_card_can_have_is_bridged_and_named_live_and_recorded(
    value: float, count: int, *, counter: bool
) -> None:
    info = card(has_counter=counter)
    rows = readings(info)
    for row in rows[100 : 100 + count]:
        row.power_w = value
    found = window(info, rows)
    assert found.valid
    assert found.energy_j == pytest.approx(800, rel=0.015)
    assert any(f"{count} impossible reading(s) left out" in text for text in found.problems)
    assert live_joules(info, rows) == pytest.approx(1000, rel=0.03)


def test_a_power_beyond_the_kind_of_device_is_refused_where_the_card_does_not_say_its_limit() -> None:
    info = card(has_counter=False, limit_w=None)
    rows = readings(info)
    rows[50].power_w = 3500.0
    assert window(info, rows).energy_j == pytest.approx(800, rel=0.01)


def test_a_high_but_possible_power_is_believed() -> None:
    info = card(has_counter=False)
    rows = readings(info)
    for row in rows[80:120]:
        row.power_w = 1100.0
    found = window(info, rows)
    assert found.energy_j == pytest.approx(800 + 2 * 1000, rel=0.02)
    assert not any("impossible" in text for text in found.problems)


def test_a_sensor_that_says_nothing_possible_for_long_makes_the_window_invalid() -> None:
    info = card(has_counter=False)
    rows = readings(info)
    for row in rows[80:120]:
        row.power_w = 0.0
    found = window(info, rows)
    assert not found.valid
    assert any("0 W from a card that answers" in text for text in found.problems)


def test_a_sensor_that_never_says_anything_possible_gives_no_figure() -> None:
    info = card(has_counter=False)
    found = window(info, readings(info, watts=0.0))
    assert found.energy_j is None
    assert not found.valid
    assert any("no reading that can be true" in text for text in found.problems)
    totals = Totals([info])
    for row in readings(info, watts=0.0):
        totals.add(row)
    assert totals.now(10 * NS).energy_j is None
    assert not totals.now(10 * NS).working


def test_power_that_stands_while_the_use_comes_and_goes_makes_the_window_invalid() -> None:
    info = card(has_counter=False)
    rows = readings(info)
    for i, row in enumerate(rows[::30]):
        row.util_pct = 100.0 * (i % 2)
    found = window(info, rows)
    assert not found.valid
    assert any("power stood at 100 W while use went from 0 to 100 %" in text for text in found.problems)
    for i, row in enumerate(rows):
        row.power_w = 100.0 + i % 3
    assert window(info, rows).valid


# -- counters


@pytest.mark.parametrize(("info", "jump_j"), [(package(), 9_000.0), (package(), 485_000.0), (card(), 400.0)])
@pytest.mark.parametrize("at", [30, 100, 150])
def test_a_counter_that_jumps_ahead_is_bridged_and_named_live_and_recorded(
    info: DeviceInfo, jump_j: float, at: int
) -> None:
    rows = readings(info)
    for row in rows[at:]:
        assert row.energy_j is not None
        row.energy_j += jump_j
    found = window(info, rows)
    assert found.valid
    assert found.energy_j == pytest.approx(800, rel=0.02)
    assert within(found, 800)
    assert any("jumped" in text and "cannot have drawn" in text for text in found.problems)
    assert live_joules(info, rows) == pytest.approx(1000, rel=0.03)


def test_a_counter_that_jumps_ahead_and_back_loses_nothing() -> None:
    info = card()
    rows = readings(info)
    for row in rows[80:120]:
        assert row.energy_j is not None
        row.energy_j += 900.0
    found = window(info, rows)
    assert found.energy_j == pytest.approx(800, rel=0.02)
    assert found.counts["jumps"] == found.counts["resets"] == 1
    assert live_joules(info, rows) == pytest.approx(1000, rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 0.5, 1.0]))
def test_a_counter_that_shows_another_sockets_value_in_turns_is_right_or_not_valid(seed: int, every_s: float) -> None:
    generator = np.random.default_rng(seed)
    info = package()
    rows = readings(info)
    other = generator.random(200) < 0.4
    for row in rows:
        assert row.energy_j is not None
        row.energy_j += 149_000.0 * other[int(row.t_mono_ns / NS / every_s)]
    found = window(info, rows)
    assert not found.valid or found.energy_j == pytest.approx(800, rel=0.05)
    assert found.energy_j is None or found.energy_j < 1000


@pytest.mark.parametrize("stops", [(40, 80), (100, 201), (0, 60)])
def test_a_counter_that_stands_still_while_power_goes_on_is_bridged_by_power(stops: tuple[int, int]) -> None:
    info = card()
    rows = readings(info)
    begin, end = stops
    shown_j = [float(row.energy_j or 0.0) for row in rows]
    drawn_j = shown_j[min(end, 200)] - shown_j[begin]
    for i, row in enumerate(rows[begin:], begin):
        row.energy_j = shown_j[begin] if i < end else shown_j[i] - drawn_j
    found = window(info, rows)
    assert found.valid
    assert found.energy_j == pytest.approx(800, rel=0.03)
    assert within(found, 800)
    assert any("stood still" in text for text in found.problems)
    assert live_joules(info, rows) == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("info", [card(), package()])
def test_a_counter_that_makes_up_for_a_standstill_is_believed(info: DeviceInfo) -> None:
    rows = readings(info)
    for row in rows[80:120]:
        row.energy_j = rows[80].energy_j
    found = window(info, rows)
    assert found.valid
    assert found.energy_j == pytest.approx(800, rel=0.02)
    assert live_joules(info, rows) == pytest.approx(1000, rel=0.03)


def test_a_counter_that_stands_still_with_nothing_beside_it_makes_the_window_invalid() -> None:
    info = package()
    rows = readings(info)
    for i, row in enumerate(rows):
        assert row.energy_j is not None
        row.energy_j = rows[80].energy_j if 80 <= i < 120 else row.energy_j - (WATTS * 2 if i >= 120 else 0.0)
    found = window(info, rows)
    assert not found.valid
    assert any("nothing else says what was drawn" in text for text in found.problems)
    assert window(info, rows, 0.5, 3.5).valid


def test_a_counter_that_never_moves_gives_no_figure_and_no_live_figure_to_rely_on() -> None:
    info = package()
    rows = readings(info, watts=0.0)
    found = window(info, rows)
    assert found.energy_j is None
    assert not found.valid
    totals = Totals([info])
    for row in rows:
        totals.add(row)
    assert not totals.now(10 * NS).working


def counted_differently(gain: float) -> WindowEnergy:
    """A card at constant power whose counter says ``gain`` times as much."""
    info = card()
    rows = readings(info)
    for row in rows:
        assert row.energy_j is not None
        row.energy_j *= gain
    return window(info, rows)


@pytest.mark.parametrize("gain", [0.05, 0.3, 3.5, 10.0])
def test_a_counter_and_a_power_reading_worlds_apart_are_not_valid(gain: float) -> None:
    found = counted_differently(gain)
    assert not found.valid
    assert any("one of the two does not work" in text for text in found.problems)


@pytest.mark.parametrize("gain", [0.57, 1.8])
def test_where_counter_and_power_differ_the_range_covers_both(gain: float) -> None:
    found = counted_differently(gain)
    assert found.energy_j == pytest.approx(800 * gain, rel=0.02)
    assert within(found, 800)
    assert within(found, 800 * gain)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_counter_that_is_no_number_for_a_moment_changes_nothing(value: float) -> None:
    for info in (card(), package()):
        rows = readings(info)
        rows[100].energy_j = value
        found = window(info, rows)
        assert found.valid
        assert found.energy_j == pytest.approx(800, rel=0.01)
        assert any("impossible reading" in text for text in found.problems)
        assert live_joules(info, rows) == pytest.approx(1000, rel=0.02)


# -- the live figure of a device that has gone silent


def test_a_lost_device_is_not_one_that_works() -> None:
    info = card()
    totals = Totals([info])
    for row in readings(info, 3.0):
        totals.add(row)
    assert totals.now(3 * NS).working
    totals.add(Sample(round(3.05 * NS), 1000, "gpu0", "nvml", "measured", event="lost"))
    assert totals.now(round(3.1 * NS)).working
    assert not totals.now(6 * NS).working
