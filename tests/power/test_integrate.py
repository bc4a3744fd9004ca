"""Power readings to joules, against a slow reference and by the laws that integrals obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greenbench.power.journal.integrate import integrate
from tests.reference.energy import energy as slow_energy

# Readings on whole milliseconds, 1 to 400 ms apart.
gaps = st.lists(st.integers(1, 400), min_size=3, max_size=60)
watts = st.floats(0.0, 2000.0, allow_nan=False)


Curve = tuple[np.ndarray, np.ndarray, float, float]


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    times = np.cumsum([0, *draw(gaps)]) / 1000
    power = [draw(watts) for _ in times]
    a, b = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    assume(b - a > 1e-3)
    return times, np.array(power), a * times[-1], b * times[-1]


@given(curves())
def test_the_integrator_agrees_with_the_slow_reference(curve: Curve) -> None:
    t, power, t0, t1 = curve
    expected = slow_energy(t.tolist(), power.tolist(), t0, t1)
    assert integrate(t, power, t0, t1, 1.0).energy_j == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(curves(), watts)
def test_constant_power_times_time_is_exact_for_any_sampling(curve: Curve, power_w: float) -> None:
    t, _, t0, t1 = curve
    result = integrate(t, np.full(len(t), power_w), t0, t1, 1.0)
    assert result.energy_j == pytest.approx(power_w * (t1 - t0), rel=1e-9, abs=1e-9)
    assert result.uncertainty_j == pytest.approx(0.0, abs=1e-6)


@given(curves(), watts, watts)
def test_a_ramp_is_exact(curve: Curve, first_w: float, last_w: float) -> None:
    t, _, t0, t1 = curve
    slope = (last_w - first_w) / t[-1]
    exact = first_w * (t1 - t0) + slope * (t1**2 - t0**2) / 2
    assert integrate(t, first_w + slope * t, t0, t1, 1.0).energy_j == pytest.approx(exact, rel=1e-9, abs=1e-9)


@given(curves(), st.floats(0.01, 0.99))
def test_two_halves_of_a_window_add_up(curve: Curve, share: float) -> None:
    t, power, t0, t1 = curve
    middle = t0 + share * (t1 - t0)
    parts = integrate(t, power, t0, middle, 1.0).energy_j + integrate(t, power, middle, t1, 1.0).energy_j
    assert parts == pytest.approx(integrate(t, power, t0, t1, 1.0).energy_j, rel=1e-9, abs=1e-9)


@given(curves(), st.floats(-1e5, 1e5))
def test_shifting_the_clock_changes_nothing(curve: Curve, shift: float) -> None:
    t, power, t0, t1 = curve
    here = integrate(t, power, t0, t1, 1.0).energy_j
    assert integrate(t + shift, power, t0 + shift, t1 + shift, 1.0).energy_j == pytest.approx(here, rel=1e-5, abs=1e-4)


@given(curves())
def test_a_slip_of_units_shows_as_a_factor_of_a_thousand(curve: Curve) -> None:
    t, power, t0, t1 = curve
    watts_j = integrate(t, power, t0, t1, 1.0).energy_j
    assert integrate(t, power * 1000, t0, t1, 1.0).energy_j == pytest.approx(1000 * watts_j, rel=1e-9)
    assert integrate(t * 1000, power, t0 * 1000, t1 * 1000, 1e3).energy_j == pytest.approx(1000 * watts_j, rel=1e-6)


@given(curves(), st.floats(0.0, 1.0), watts, watts)
def test_a_step_is_within_the_stated_uncertainty(curve: Curve, at: float, low_w: float, high_w: float) -> None:
    t, _, t0, t1 = curve
    switch = at * t[-1]
    power = np.where(t < switch, low_w, high_w)
    exact = low_w * max(0.0, min(t1, switch) - t0) + high_w * max(0.0, t1 - max(t0, switch))
    result = integrate(t, power, t0, t1, 1.0)
    widest = float(np.max(np.diff(t)))
    assert abs(result.energy_j - exact) <= result.uncertainty_j + abs(high_w - low_w) * widest / 2 + 1e-6
