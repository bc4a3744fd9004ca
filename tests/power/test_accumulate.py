"""The live total: a counter's energy, carried on by power between two of its readings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.power.sampler.totals import Totals
from greenbench.power.samples import DeviceInfo, Sample

NS = 1_000_000_000


def totals(**more: Any) -> Totals:
    values = {"has_counter": True, "update_period_s": 0.1, "tolerance": 0.05, **more}
    return Totals([DeviceInfo("gpu0", "nvml", "measured", "gpu", **values)])


def reading(
    t_s: float, power_w: float | None = None, energy_j: float | None = None, event: str | None = None
) -> Sample:
    return Sample(round(t_s * NS), 1000, "gpu0", "nvml", "measured", power_w, energy_j, event=event)


def now(total: Totals, t_s: float) -> tuple[float | None, float | None, float | None]:
    state = total.now(round(t_s * NS))
    return state.energy_j, state.low_j, state.high_j


def feed(total: Totals, begin_s: float, end_s: float, power_w: float | None) -> None:
    """Power alone at 20 Hz."""
    count = round((end_s - begin_s) * 20)
    for i in range(1, count + 1):
        total.add(reading(begin_s + i / 20, power_w))


def test_a_counter_read_every_time_is_the_total() -> None:
    total = totals()
    for i in range(101):
        total.add(reading(i / 20, 100.0, 7000 + 20.0 * (i // 2)))  # 200 W, whatever power says
    assert now(total, 5.0)[0] == pytest.approx(1000.0, abs=0.1 * 100)


def test_power_carries_a_rarely_read_counter_on() -> None:
    total = totals()
    total.add(reading(0.0, 100.0, 7000.0))
    feed(total, 0.0, 8.0, 100.0)
    assert now(total, 8.0)[0] == pytest.approx(800.0)


def test_the_counter_takes_back_what_power_got_wrong_and_corrects_what_follows() -> None:
    total = totals()
    total.add(reading(0.0, 390.0, 7000.0))
    feed(total, 0.0, 9.95, 390.0)
    assert now(total, 9.95)[0] == pytest.approx(390 * 9.95)
    total.add(reading(10.0, 390.0, 9000.0))
    assert now(total, 10.0)[0] == pytest.approx(2000.0)
    feed(total, 10.0, 19.95, 390.0)
    assert now(total, 19.95)[0] == pytest.approx(2000.0 + 200 * 9.95, rel=0.01)


def test_reading_the_counter_twice_within_an_update_changes_nothing() -> None:
    total = totals()
    total.add(reading(0.0, 100.0, 7000.0))
    feed(total, 0.0, 4.0, 100.0)
    for i in range(8):
        total.add(reading(4.01 + i * 0.01, 100.0, 7400.0))
    assert now(total, 4.09)[0] == pytest.approx(405.0, abs=12.0)
    feed(total, 4.1, 6.0, 100.0)
    assert now(total, 6.0)[0] == pytest.approx(600.0, abs=12.0)


@pytest.mark.parametrize("counter", [True, False])
def test_what_was_used_before_a_loss_is_kept(counter: Any) -> None:
    total = totals(has_counter=counter)
    total.add(reading(0.0, 100.0, 7000.0 if counter else None))
    feed(total, 0.0, 3.0, 100.0)
    total.add(reading(3.05, event="lost"))
    total.add(reading(9.0, 100.0, 7900.0 if counter else None))
    feed(total, 9.0, 10.0, 100.0)
    energy_j, low_j, high_j = now(total, 10.0)
    assert energy_j == pytest.approx(400.0)
    assert (low_j, high_j) == (pytest.approx(380.0), pytest.approx(420.0))


def test_a_reset_keeps_what_power_says() -> None:
    total = totals()
    total.add(reading(0.0, 100.0, 7000.0))
    feed(total, 0.0, 4.0, 100.0)
    total.add(reading(4.05, 100.0, 3.0))
    assert now(total, 4.05)[0] == pytest.approx(405.0, abs=12.0)
    feed(total, 4.05, 6.05, 100.0)
    assert now(total, 6.05)[0] == pytest.approx(605.0, abs=12.0)


@given(st.lists(st.tuples(st.floats(0.0, 700.0), st.one_of(st.none(), st.floats(0.0, 50.0))), min_size=1, max_size=80))
def test_the_range_holds_the_total_whatever_is_read(rows: Any) -> None:
    total = totals()
    counter = 7000.0
    for i, (power_w, step_j) in enumerate(rows):
        counter += step_j or 0.0
        total.add(reading(i / 20, power_w, counter if step_j is not None else None))
        energy_j, low_j, high_j = now(total, i / 20)
        if energy_j is None:  # 0 W of a card that answers is no reading
            assert power_w == 0
            assert low_j is high_j is None
            continue
        assert low_j <= energy_j + 1e-6
        assert energy_j <= high_j + 700 * 0.2 + 1e-6  # what is extrapolated has no range of its own
