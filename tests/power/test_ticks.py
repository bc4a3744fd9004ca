from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from greenbench.power.sampler.ticks import Ticks

MS = 1_000_000


def between(ticks: Ticks, now_ns: int, end_ns: int) -> list[int]:
    times = []
    while (now_ns := ticks.next_ns(now_ns)) < end_ns:
        times.append(now_ns)
    return times


@given(st.sampled_from([1, 10, 20, 50, 100, 250]), st.integers(0, 40))
def test_every_period_has_one_reading_and_waits_stay_below_two_periods(hz: int, periods: int) -> None:
    period_ns = 1_000_000_000 // hz
    ticks = Ticks(1 / hz)
    begin_ns = time.monotonic_ns()
    end_ns = begin_ns + periods * period_ns
    times = [begin_ns, *between(ticks, begin_ns, end_ns)]
    assert times[-1] < end_ns or not periods
    assert ticks.next_ns(times[-1]) >= end_ns
    assert all(later_ns > earlier_ns for earlier_ns, later_ns in itertools.pairwise(times))
    assert all(later_ns - earlier_ns < 1.9 * period_ns for earlier_ns, later_ns in itertools.pairwise(times))
    assert abs(len(times) - 1 - periods) <= 2


@given(st.integers(0, 10**10))
def test_the_next_time_does_not_depend_on_when_it_was_last_asked_for(later_ns: int) -> None:
    ticks = Ticks(0.05)
    now_ns = time.monotonic_ns() + later_ns
    at_ns = ticks.next_ns(now_ns)
    assert now_ns < at_ns < now_ns + 100 * MS
    assert ticks.next_ns(now_ns) == at_ns
    assert ticks.next_ns(at_ns - 1) == at_ns


def test_times_leave_no_part_of_the_period_out() -> None:
    ticks = Ticks(0.05)
    begin_ns = time.monotonic_ns()
    times = between(ticks, begin_ns, begin_ns + 100 * 50 * MS)
    phases = sorted((at_ns - begin_ns) % (50 * MS) / (50 * MS) for at_ns in times)
    gaps = [after - before for before, after in itertools.pairwise(phases)]
    assert max(gaps) < 0.13  # a tenth of the period is never used
