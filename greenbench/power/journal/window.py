"""The joules of one device in one window, with what speaks for and against them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from greenbench.power.journal.counter import energy_at
from greenbench.power.journal.device import Track
from greenbench.power.journal.integrate import Integral, integrate
from greenbench.power.samples import MODELLED

AGREE_WITHIN = 0.05
_SHORT_PERIODS = 10
_DRIFT_C = 10.0
_GAP_SHARE = 0.01


@dataclass
class DeviceEnergy:
    """Energy of one device in one window.

    ``energy_j`` is the counter's where there is one, else the integrated power, else a model's; ``ratio`` is
    counter over integral and ``agree`` whether they agree within 5 % plus both uncertainties (None where there is
    nothing to compare). ``edge_j`` is what the window's edges leave open; ``uncertainty_j`` adds the sensor's
    tolerance, or is the model's range. ``spoiled`` are reasons why the figure must not be used.
    """

    name: str
    kind: str
    source: str
    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    counter_j: float | None = None
    integral_j: float | None = None
    ratio: float | None = None
    agree: bool | None = None
    uncertainty_j: float | None = None
    edge_j: float = 0.0
    samples: int = 0
    warnings: list[str] = field(default_factory=list)
    spoiled: list[str] = field(default_factory=list)
    mean_power_w: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    part: str = "device"
    counted: bool = True
    shared: bool = False
    counts: Counter[str] = field(default_factory=Counter)


def device_energy(track: Track, t0_s: float, t1_s: float) -> DeviceEnergy:
    """Cut ``[t0_s, t1_s]`` out of one device's readings."""
    info = track.info
    result = DeviceEnergy(info.device, info.kind, info.source, part=info.part, counted=info.counted)
    result.shared = info.shared
    result.counts = Counter(track.counts)
    _coverage(track, t0_s, t1_s, result)
    if len(track.all_t_s) == 0:
        result.spoiled.append("no readings")
        return result
    if info.power_from == "model" and track.energy is not None:
        _modelled(track, t0_s, t1_s, result)
    else:
        _measured(track, t0_s, t1_s, result)
    result.samples = int(np.sum((track.all_t_s >= t0_s) & (track.all_t_s <= t1_s)))
    if result.energy_j is not None and t1_s > t0_s:
        result.mean_power_w = result.energy_j / (t1_s - t0_s)
    _circumstances(track, t0_s, t1_s, result)
    return result


def _coverage(track: Track, t0_s: float, t1_s: float, result: DeviceEnergy) -> None:
    t = track.all_t_s
    if len(t) == 0:
        return
    late, early = t[0] - t0_s, t1_s - t[-1]
    if late > track.max_gap_s:
        result.spoiled.append(f"readings begin {late:.2f} s after the window")
    if early > track.max_gap_s:
        result.spoiled.append(f"readings end {early:.2f} s before the window")
    for moment in track.lost_s:
        if t0_s <= moment <= t1_s:
            result.warnings.append(f"the device was lost {moment - t0_s:.2f} s into the window")
    if any(t0_s <= moment <= t1_s for moment in track.bad_s):
        result.spoiled.append("the clock jumped inside the window")
    gaps = np.diff(t)
    for edge, name in ((t0_s, "begins"), (t1_s, "ends")):
        i = int(np.searchsorted(t, edge))
        if 0 < i < len(t) and gaps[i - 1] > track.max_gap_s:
            result.spoiled.append(f"the window {name} in a gap of {gaps[i - 1]:.2f} s without readings")
    inside = gaps[(t[1:] > t0_s) & (t[:-1] < t1_s)]
    missed = inside[inside > track.max_gap_s]
    if len(missed):
        result.counts["gaps"] += len(missed)
        result.warnings.append(f"{len(missed)} gap(s) without readings, {float(np.sum(missed)):.2f} s in all")


def _modelled(track: Track, t0_s: float, t1_s: float, result: DeviceEnergy) -> None:
    def cut(cumulative: tuple[np.ndarray, np.ndarray]) -> float:
        t, energy = cumulative
        if len(t) < 2:
            return 0.0
        values = np.interp([t0_s, t1_s], t, energy)
        # Beyond the readings the mean power of the nearest interval goes on; coverage says if that is too far.
        before = (energy[1] - energy[0]) / (t[1] - t[0]) * max(0.0, min(t[0], t1_s) - t0_s)
        after = (energy[-1] - energy[-2]) / (t[-1] - t[-2]) * max(0.0, t1_s - max(t[-1], t0_s))
        return float(values[1] - values[0] + before + after)

    if track.energy is None or len(track.energy[0]) < 2:
        result.spoiled.append("too few readings")
        return
    result.energy_j = cut(track.energy)
    result.energy_low_j = cut(track.low) if track.low else None
    result.energy_high_j = cut(track.high) if track.high else None
    if result.energy_low_j is not None and result.energy_high_j is not None:
        result.uncertainty_j = max(result.energy_high_j - result.energy_j, result.energy_j - result.energy_low_j)


def _measured(track: Track, t0_s: float, t1_s: float, result: DeviceEnergy) -> None:
    info = track.info
    integral: Integral | None = None
    if len(track.t_s) and info.power_from != "counter":
        integral = integrate(track.t_s, track.power_w, t0_s, t1_s, track.max_gap_s)
        result.integral_j = integral.energy_j
    if track.counter is not None:
        result.counter_j, result.edge_j = _counter_energy(track, t0_s, t1_s, result)
        if integral is not None:
            _compare(result, integral, track, t0_s, t1_s)
    if result.counter_j is not None:
        result.energy_j = result.counter_j
    elif integral is not None:
        result.energy_j = integral.energy_j
        result.edge_j = integral.uncertainty_j
        if info.power_from == "average_1s":
            swing = float(np.ptp(track.power_w)) if len(track.power_w) else 0.0
            result.edge_j += swing * 1.0
            result.warnings.append("power is a one-second average: the window's edges are smeared by a second")
        if integral.gap_s > _GAP_SHARE * (t1_s - t0_s):
            result.spoiled.append(f"no counter, and no power readings for {integral.gap_s:.2f} s of the window")
    if result.energy_j is not None:
        result.uncertainty_j = result.edge_j + info.tolerance * result.energy_j
        result.energy_low_j = max(0.0, result.energy_j - result.uncertainty_j)
        result.energy_high_j = result.energy_j + result.uncertainty_j
    else:
        result.spoiled.append("neither a counter nor a power reading")


def _counter_energy(track: Track, t0_s: float, t1_s: float, result: DeviceEnergy) -> tuple[float, float]:
    assert track.counter is not None
    power_t, power = track.t_s, track.power_w
    if track.info.power_from == "counter":
        power_t, power = power_t[:0], power[:0]
    first, first_off = energy_at(track.counter, t0_s, power_t, power)
    last, last_off = energy_at(track.counter, t1_s, power_t, power)
    energy_j = max(0.0, last - first)
    period_s = track.info.update_period_s or track.spacing_s
    half_step_j = 0.5 * period_s * energy_j / max(t1_s - t0_s, 1e-9)
    off_j = max(first_off, half_step_j) + max(last_off, half_step_j)
    if t1_s - t0_s < _SHORT_PERIODS * period_s:
        result.warnings.append(
            f"short window: {t1_s - t0_s:.2f} s with a counter that updates every {period_s * 1e3:.0f} ms"
        )
    for begin, end in track.resets:
        if end >= t0_s and begin <= t1_s:
            bridge_j = _bridge(track, max(begin, t0_s), min(end, t1_s), energy_j / max(t1_s - t0_s, 1e-9))
            energy_j += bridge_j
            off_j += 2 * bridge_j
            result.warnings.append(f"the counter began anew {end - t0_s:.2f} s into the window; bridged with power")
            inside = track.all_t_s[(track.all_t_s >= begin) & (track.all_t_s <= end)]
            if np.max(np.diff(inside), initial=0.0) > track.max_gap_s:
                result.spoiled.append("the counter began anew during a gap in the readings")
    return energy_j, off_j


def _bridge(track: Track, begin_s: float, end_s: float, mean_w: float) -> float:
    if end_s <= begin_s:
        return 0.0
    # The counter was last placed half a reading before, and begins half a reading after the reset.
    begin_s, end_s = begin_s - track.spacing_s / 2, end_s + track.spacing_s / 2
    if len(track.t_s) and track.info.power_from != "counter":
        return integrate(track.t_s, track.power_w, begin_s, end_s, track.max_gap_s).energy_j
    return mean_w * (end_s - begin_s)


def _compare(result: DeviceEnergy, integral: Integral, track: Track, t0_s: float, t1_s: float) -> None:
    counter_j, integral_j = result.counter_j or 0.0, integral.energy_j
    period_s = track.info.update_period_s or track.spacing_s
    if _stood_still(track, t0_s, t1_s, _SHORT_PERIODS * period_s) and integral_j > 0:
        result.warnings.append("the energy counter stood still; integrated power is used")
        result.counter_j, result.ratio, result.agree = None, 0.0, False
        return
    if integral_j <= 0:
        return
    result.ratio = counter_j / integral_j
    allowed = AGREE_WITHIN * integral_j + result.edge_j + integral.uncertainty_j
    result.agree = abs(counter_j - integral_j) <= allowed
    if not result.agree:
        result.warnings.append(f"counter and integrated power disagree: ratio {result.ratio:.3f}")


def _stood_still(track: Track, t0_s: float, t1_s: float, least_s: float) -> bool:
    """Whether the counter's readings around a window say the same for too long."""
    assert track.energy is not None
    t, energy = track.energy
    first = max(0, int(np.searchsorted(t, t0_s, side="right")) - 1)
    last = min(len(t) - 1, int(np.searchsorted(t, t1_s)))
    return bool(min(t[last], t1_s) - max(t[first], t0_s) > least_s and energy[first] == energy[last])


def _circumstances(track: Track, t0_s: float, t1_s: float, result: DeviceEnergy) -> None:
    if result.kind == MODELLED:
        return
    # Slow readings come once a second: one second of margin gives short windows theirs.
    lo, hi = np.searchsorted(track.sample_t_s, [t0_s - 1.0, t1_s + 1.0])
    inside = track.samples[lo:hi]
    temperatures = [s.temperature_c for s in inside if s.temperature_c is not None]
    if temperatures:
        result.temperature_start_c, result.temperature_end_c = temperatures[0], temperatures[-1]
        if abs(temperatures[-1] - temperatures[0]) > _DRIFT_C:
            result.warnings.append(
                f"temperature drifted from {temperatures[0]:.0f} to {temperatures[-1]:.0f} °C: leakage changes with it"
            )
    seen = [s.throttle for s in inside if s.throttle is not None]
    throttled = [reason for reason in seen if reason != "none"]
    if throttled:
        names = "+".join(sorted({name for reason in throttled for name in reason.split("+")}))
        result.warnings.append(f"throttled for {100 * len(throttled) / len(seen):.0f} % of the readings: {names}")
    foreign = max((s.foreign for s in inside if s.foreign is not None), default=0)
    if foreign:
        result.warnings.append(f"{foreign} foreign process(es) on the device: their joules are included")
    if track.info.shared:
        result.warnings.append("the card is shared (MIG): joules are the whole card's")
