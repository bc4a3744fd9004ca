from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greenbench.metering.command_result import measured_device
from greenbench.power.journal.file import JournalContents, Segment
from greenbench.power.journal.trace import Trace
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.power.samples import DeviceInfo, Sample

NS = 1_000_000_000


def sample(
    t_s: float,
    power: float | None = None,
    counter: Any = None,
    *,
    device: str = "gpu0",
    kind: str = "measured",
    event: str | None = None,
    **more: Any,
) -> Sample:
    return Sample(round(t_s * NS), 1000, device, "nvml", kind, power, counter, event=event, **more)


def info(device: str = "gpu0", **more: Any) -> DeviceInfo:
    values = {"source": "nvml", "kind": "measured", "part": "gpu", "has_counter": True, "update_period_s": 0.1}
    return DeviceInfo(device, **{**values, **more})


def trace(*sessions: Any, infos: Sequence[DeviceInfo] = (), boots: list[str] | None = None) -> Trace:
    segments = []
    for i, samples in enumerate(sessions):
        segment = Segment(boot_id=boots[i] if boots else "boot", samples=list(samples))
        segment.devices = {d.device: d for d in infos}
        segments.append(segment)
    return Trace(JournalContents(segments))


def window(found: Any, t0_s: float, t1_s: float, **options: Any) -> WindowEnergy:
    return found.window(round(t0_s * NS), round(t1_s * NS), **options)


def regular(
    duration_s: float,
    power: Callable[[float], float | None],
    *,
    hz: float = 20.0,
    counter: Any = None,
    start_s: float = 0.0,
    **more: Any,
) -> list[Sample]:
    times = np.arange(start_s, start_s + duration_s + 1e-9, 1 / hz)
    return [sample(t, power(t), counter(t) if counter else None, **more) for t in times]


@settings(max_examples=40, deadline=None)
@example(0.02, 20.0, 20.0, 1.0, 0.15625, 1.25, 1991)  # an apparent rhythm that miscounts updates
@example(0.02, 20.0, 147.8615, 2.7801, 0.1527, 3.5159, 1325857514)
@given(
    st.sampled_from([0.02, 0.05, 0.1]),
    st.floats(20, 700),
    st.floats(20, 700),
    st.floats(0.3, 3.0),
    st.floats(0.05, 0.9),
    st.floats(1.0, 8.0),
    st.integers(0, 2**32 - 1),
)
def test_a_stepped_counter_is_right_within_its_edge_term(
    period: float, low: float, high: float, hz: float, begin: float, length: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    times = (np.arange(0, 220) + generator.uniform(0, 0.9, 220)) * 0.05

    def true(t: float | np.ndarray) -> np.ndarray:
        cycles, rest = np.divmod(np.asarray(t) * hz, 1.0)
        on = np.minimum(rest, 0.5)
        return (cycles * 0.5 * (low + high) + on * high + (rest - on) * low) / hz

    def power(t: float) -> float:
        return high if (t * hz) % 1.0 < 0.5 else low

    rows = [sample(t, power(t), float(true(np.floor(t / period) * period))) for t in times]
    found = trace(rows, infos=[info(update_period_s=period)])
    result = window(found, begin, begin + length)
    exact = float(true(begin + length) - true(begin))
    assert result.valid
    assert abs(result.energy_j - exact) <= result.edge_j + 1e-6
    # A counter is off by up to half a period at each edge. Where readings come more rarely than its updates, how an
    # interval between two of them divides at the edge is open too: by a quarter of it times the swing, at most.
    interval = float(np.max(np.diff(times)))
    rare = abs(high - low) * interval / 2 if interval > period else 0.0
    assert abs(result.energy_j - exact) <= period * max(low, high) + rare + 1e-6


@settings(max_examples=60, deadline=None)
@given(
    st.floats(20, 700),
    st.floats(20, 700),
    st.floats(0.2, 3.0),
    st.floats(0.3, 12.0),
    st.floats(3.0, 25.0),
    st.integers(15, 120),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_a_counter_that_is_read_rarely_is_right_within_its_edge_term(
    low: float, high: float, hz: float, begin: float, length: float, every: int, edges: Any, seed: int
) -> None:
    """Power at every tick, the counter at every n-th and, where the meter knows of the edges, quickly after each."""
    generator = np.random.default_rng(seed)
    ticks = (np.arange(0, 800) + generator.uniform(0, 0.9, 800)) * 0.05
    bursts = [edge + np.arange(0, 0.14, 0.013) for edge in (begin, begin + length)] if edges else []
    times = np.concatenate([ticks, *bursts])
    counts = np.concatenate([np.arange(800) % every == 0, np.ones(len(times) - 800, dtype=bool)])
    order = np.argsort(times)

    def true(t: float | np.ndarray) -> np.ndarray:
        cycles, rest = np.divmod(np.asarray(t) * hz, 1.0)
        on = np.minimum(rest, 0.5)
        return (cycles * 0.5 * (low + high) + on * high + (rest - on) * low) / hz

    def row(i: int) -> Sample:
        t = times[i]
        power = high if (t * hz) % 1.0 < 0.5 else low
        return sample(t, power, float(true(np.floor(t / 0.1) * 0.1)) if counts[i] else None)

    result = window(trace([row(i) for i in order], infos=[info()]), begin, begin + length)
    exact = float(true(begin + length) - true(begin))
    assert result.valid
    assert abs(result.energy_j - exact) <= result.edge_j + 1e-6
    assert result.devices[0].counter_j is not None
    if edges:
        assert abs(result.energy_j - exact) <= 0.1 * max(low, high)


def test_a_rarely_read_counter_corrects_a_power_reading_that_is_wrong_between_the_edges() -> None:
    rows = regular(60, lambda t: 390.0)  # the true mean is 200 W: a sensor that looks at the wrong moments
    for row in rows[::100]:
        row.energy_j = 200 * np.floor(row.t_mono_ns / NS * 10) / 10
    device = window(trace(rows, infos=[info()]), 7.3, 52.1).devices[0]
    assert device.energy_j == pytest.approx(200 * 44.8, rel=0.005)
    assert device.agree is False


@pytest.mark.parametrize("away_s", [0.05, 0.4, 3.0])
def test_power_carries_a_counter_past_its_last_reading_and_the_result_is_plain_python(away_s: float) -> None:
    rows = regular(20, lambda t: 200.0)
    for row in rows[:200]:
        row.energy_j = 200 * np.floor(row.t_mono_ns / NS * 10) / 10
    device = window(trace(rows, infos=[info()]), 2.0, 9.95 + away_s).devices[0]
    assert device.counter_j == pytest.approx(200 * (7.95 + away_s), abs=0.1 * 200)
    assert abs(device.counter_j - 200 * (7.95 + away_s)) <= device.edge_j
    json.dumps(asdict(measured_device(device)))


def test_a_reset_between_two_rare_readings_is_bridged_with_power() -> None:
    rows = regular(60, lambda t: 100.0)
    for row in rows[::100]:
        t = row.t_mono_ns / NS
        row.energy_j = 5000 + 100 * t if t < 31 else 100 * (t - 31)
    result = window(trace(rows, infos=[info(update_period_s=0.05)]), 1, 59)
    assert result.valid
    assert result.energy_j == pytest.approx(5800, rel=0.01)
    assert result.counts["resets"] == 1


def test_devices_come_in_the_order_of_the_header_whichever_was_read_first() -> None:
    rows = [*regular(5, lambda t: 50.0, device="gpu1"), *regular(5, lambda t: 100.0)]
    result = window(trace(rows, infos=[info(has_counter=False), info("gpu1", has_counter=False)]), 1, 4)
    assert [(d.name, round(d.energy_j)) for d in result.devices] == [("gpu0", 300), ("gpu1", 150)]


def test_counter_and_integral_are_both_kept_and_compared() -> None:
    found = trace(regular(10, lambda t: 200.0, counter=lambda t: 200 * np.floor(t * 10) / 10), infos=[info()])
    device = window(found, 2, 8).devices[0]
    assert device.counter_j == pytest.approx(1200, rel=0.005)
    assert device.integral_j == pytest.approx(1200)
    assert device.ratio == pytest.approx(1.0, abs=0.005)
    assert device.agree is True
    wrong = trace(regular(10, lambda t: 300.0, counter=lambda t: 200 * np.floor(t * 10) / 10), infos=[info()])
    device = window(wrong, 2, 8).devices[0]
    assert device.agree is False
    assert any("disagree" in text for text in device.warnings)


def test_duplicates_are_counted_and_change_nothing() -> None:
    rows = regular(10, lambda t: 100.0)
    doubled = [row for row in rows for _ in range(2)]
    result = window(trace(doubled, infos=[info(has_counter=False)]), 1, 9)
    assert result.energy_j == pytest.approx(800)
    assert result.counts["duplicates"] == len(rows)
    assert result.valid


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0])
def test_impossible_power_is_dropped_and_counted(value: Any) -> None:
    rows = regular(10, lambda t: 100.0)
    rows[100].power_w = value
    result = window(trace(rows, infos=[info(has_counter=False)]), 1, 9)
    assert result.energy_j == pytest.approx(800)
    assert sum(result.counts.values()) == 1


def test_a_clock_jump_spoils_the_window_it_falls_into_and_no_other() -> None:
    rows = regular(20, lambda t: 100.0)
    rows[200].t_mono_ns += 3600 * NS
    found = trace(rows, infos=[info(has_counter=False)])
    assert window(found, 1, 5).valid
    assert window(found, 1, 5).energy_j == pytest.approx(400)
    invalid = window(found, 8, 12)
    assert not invalid.valid
    assert any("clock jumped" in text for text in invalid.problems)


def test_a_gap_spoils_integrated_power_but_not_a_counter() -> None:
    def keep(rows: Any) -> list[Sample]:
        return [row for row in rows if not 4 < row.t_mono_ns / NS < 6]

    power_only = window(trace(keep(regular(10, lambda t: 100.0)), infos=[info(has_counter=False)]), 1, 9)
    assert not power_only.valid
    rows = keep(regular(10, lambda t: 100.0, counter=lambda t: 100 * np.floor(t * 10) / 10))
    counted = window(trace(rows, infos=[info()]), 1, 9)
    assert counted.valid
    assert counted.energy_j == pytest.approx(800, rel=0.005)
    assert counted.counts["gaps"] == 1
    assert not window(trace(rows, infos=[info()]), 5, 9).valid  # an edge inside the gap cannot be placed


@pytest.mark.parametrize(("t0", "t1"), [(-5, 5), (5, 15), (20, 30)])
def test_a_window_the_readings_do_not_cover_is_invalid(t0: float, t1: float) -> None:
    result = window(trace(regular(10, lambda t: 100.0), infos=[info(has_counter=False)]), t0, t1)
    assert not result.valid
    assert result.problems


def test_a_wrap_is_repaired_and_counted() -> None:
    rows = regular(10, lambda t: None, counter=lambda t: (65000 + 100 * t) % 65532.61)
    result = window(trace(rows, infos=[info(wrap_j=65532.61, power_from="counter", update_period_s=0.001)]), 1, 9)
    assert result.energy_j == pytest.approx(800, rel=0.005)
    assert result.counts["wraps"] == 1
    assert result.valid


def test_a_reset_is_bridged_with_power_and_reported() -> None:
    rows = regular(10, lambda t: 100.0, counter=lambda t: 5000 + 100 * t if t < 5 else 100 * (t - 5))
    result = window(trace(rows, infos=[info(update_period_s=0.05)]), 1, 9)
    assert result.energy_j == pytest.approx(800, rel=0.01)
    assert result.counts["resets"] == 1
    assert any("began anew" in text for text in result.problems)
    assert abs(result.energy_j - 800) <= result.uncertainty_j


def test_a_backward_step_never_gives_negative_or_double_energy() -> None:
    def counter(t: float) -> float:
        return 5000 + 100 * t - (30 if 5 <= t < 5.06 else 0)

    result = window(trace(regular(10, lambda t: 100.0, counter=counter), infos=[info(update_period_s=0.05)]), 1, 9)
    assert result.energy_j == pytest.approx(800, rel=0.01)
    assert result.counts["backward steps"] == 2  # the readings at 5.00 and 5.05 s


def test_a_counter_that_stands_still_is_replaced_by_integrated_power() -> None:
    found = trace(regular(10, lambda t: 100.0, counter=lambda t: 5000.0), infos=[info()])
    result = window(found, 1, 9)
    assert result.energy_j == pytest.approx(800)
    assert any("stood still" in text for text in result.problems)


def test_a_lost_device_spoils_the_rest_of_its_window() -> None:
    rows = [*regular(5, lambda t: 100.0, counter=lambda t: 100 * t), sample(5.05, event="lost")]
    other = regular(10, lambda t: 50.0, counter=lambda t: 50 * t, device="gpu1")
    found = trace([*rows, *other], infos=[info(), info("gpu1")])
    assert window(found, 1, 4).valid
    result = window(found, 1, 9)
    assert not result.valid
    assert any("gpu0" in text and "lost" in text for text in result.problems)


def test_sessions_are_summed_and_the_hole_between_them_is_not() -> None:
    first = regular(10, lambda t: 100.0, counter=lambda t: 100 * t)
    second = regular(10, lambda t: 100.0, counter=lambda t: 100 * t, start_s=60)
    found = trace(first, second, infos=[info(update_period_s=0.05)])
    total = found.total()
    assert total.energy_j == pytest.approx(2000, rel=0.01)
    across = window(found, 0, 70)
    assert across.energy_j == pytest.approx(2000, rel=0.01)
    assert across.hole_s == pytest.approx(50, abs=0.2)
    assert not across.valid
    assert window(found, 0, 70, across_holes=True).valid
    assert window(found, 61, 69).energy_j == pytest.approx(800, rel=0.01)


@pytest.mark.parametrize("kind", ["modelled", "measured"])
def test_a_sampler_killed_at_its_first_reading_does_not_spoil_what_is_read_by_the_next(kind: str) -> None:
    model = {"has_counter": False, "power_from": "model"} if kind == "modelled" else {}
    infos = [info(kind=kind, **model), info("gpu1", kind=kind, **model)]
    first = [
        sample(0.0, 100.0, 0.0, kind=kind),
        *(sample(t, 50.0, 50 * t, device="gpu1", kind=kind) for t in (0.0, 0.05)),
    ]
    options: dict[str, Any] = {"start_s": 13, "kind": kind}
    second = regular(10, lambda t: 100.0, counter=lambda t: 100 * t, **options)
    second += regular(10, lambda t: 50.0, counter=lambda t: 50 * t, device="gpu1", **options)
    found = trace(first, second, infos=infos)
    across = window(found, 0, 23, across_holes=True)
    assert across.valid, across.problems
    assert across.energy_j == pytest.approx(1500, rel=0.01)
    assert across.hole_s == pytest.approx(13, abs=0.1)
    assert found.total().valid
    alone = trace(first, infos=infos)
    assert not window(alone, 0, 1).valid


def test_clocks_of_different_boots_are_never_mixed() -> None:
    before = regular(10, lambda t: 100.0, start_s=100)
    after = regular(10, lambda t: 300.0, start_s=100)
    found = trace(before, after, infos=[info(has_counter=False)], boots=["a", "b"])
    assert window(found, 101, 109).energy_j == pytest.approx(2400)
    assert window(found, 101, 109, boot_id="a").energy_j == pytest.approx(800)
    assert found.total().energy_j == pytest.approx(4000)


def test_what_is_not_counted_is_reported_and_not_added() -> None:
    rows = regular(10, lambda t: 100.0) + regular(10, lambda t: 140.0, device="psys")
    found = trace(rows, infos=[info(has_counter=False), info("psys", has_counter=False, counted=False)])
    result = window(found, 1, 9)
    assert result.energy_j == pytest.approx(800)
    assert {d.name: d.counted for d in result.devices} == {"gpu0": True, "psys": False}


def test_measured_and_modelled_devices_are_mixed_and_say_so() -> None:
    model = [
        sample(t, 8.0, 8 * t, device="cpu", kind="modelled", energy_low_j=2 * t, energy_high_j=30 * t)
        for t in np.arange(0, 10.01, 0.05)
    ]
    rows = regular(10, lambda t: 100.0) + model
    infos = [info(has_counter=False), info("cpu", kind="modelled", power_from="model", source="cpu", part="cpu")]
    result = window(trace(rows, infos=infos), 1, 9)
    assert result.kind == "mixed"
    assert result.energy_j == pytest.approx(864)
    cpu = next(d for d in result.devices if d.name == "cpu")
    assert (cpu.energy_low_j, cpu.energy_high_j) == (pytest.approx(16), pytest.approx(240))
    assert cpu.counter_j is None
    assert cpu.ratio is None


def test_nothing_recorded_is_absent_not_zero() -> None:
    result = window(trace(), 0, 10)
    assert result.energy_j is None
    assert result.kind is None
    assert not result.valid
    assert trace().total().energy_j is None


def test_circumstances_are_warned_about() -> None:
    rows = regular(10, lambda t: 100.0)
    rows[20].temperature_c, rows[180].temperature_c = 40.0, 62.0
    rows[20].throttle, rows[180].throttle = "none", "sw_thermal"
    rows[180].foreign = 2
    text = " ".join(window(trace(rows, infos=[info(has_counter=False, shared=True)]), 0, 10).problems)
    for word in (
        "temperature drifted",
        "throttled for 50 %: sw_thermal".replace(" %", " % of the readings"),
        "2 foreign",
        "MIG",
    ):
        assert word in text


def test_a_short_window_is_warned_about_and_its_edges_are_wide() -> None:
    found = trace(regular(10, lambda t: 200.0, counter=lambda t: 200 * np.floor(t * 10) / 10), infos=[info()])
    result = window(found, 5, 5.5)
    assert any("short window" in text for text in result.problems)
    assert result.edge_j >= 0.1 * 200 * 0.99
    long = window(found, 1, 9)
    assert long.edge_j / long.energy_j == pytest.approx(0.1 / 8, rel=0.2)


def test_a_series_keeps_the_mean_power() -> None:
    found = trace(regular(60, lambda t: 100.0 if t % 2 < 1 else 300.0), infos=[info(has_counter=False)])
    t_s, power_w = found.series(max_points=30)
    assert len(t_s) == len(power_w) == 30
    assert np.mean(power_w) == pytest.approx(200, rel=0.02)


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        window(trace(regular(1, lambda t: 1.0)), 5, 4)
