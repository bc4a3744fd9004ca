"""The joules of one device in one window, with what speaks for and against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from greenbench.power.energy import Energy, HasEnergy
from greenbench.power.journal.between import energy_at
from greenbench.power.journal.curve import Curve, PowerCurve
from greenbench.power.journal.integrate import Integral, integrate
from greenbench.power.journal.readings import DeviceReadings
from greenbench.power.samples import MODELLED

AGREE_WITHIN = 0.05
_SHORT_PERIODS = 10
_DRIFT_C = 10.0
_GAP_SHARE = 0.01


@dataclass(frozen=True)
class DeviceEnergy(HasEnergy):
    """Energy of one device in one window.

    ``energy`` is the counter's where there is one, else the integrated power, else a model's: its range is the window's
    edges plus the sensor's tolerance, or the model's. ``ratio`` is counter over integral and ``agree`` whether they
    agree within 5 % plus both uncertainties (None where there is nothing to compare). ``invalid`` are the reasons why
    the figure must not be used, ``warnings`` what else is worth knowing; ``energy.problems`` holds both.
    """

    name: str
    source: str
    energy: Energy
    part: str = "device"
    counted: bool = True
    shared: bool = False
    counter_j: float | None = None
    integral_j: float | None = None
    ratio: float | None = None
    agree: bool | None = None
    samples: int = 0
    mean_power_w: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    invalid: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """One flat, JSON-ready dictionary, as ``result.json`` keeps it."""
        values = asdict(self)
        energy, invalid = values.pop("energy"), values.pop("invalid")
        return {
            **values,
            "kind": self.kind,
            "energy_j": energy["joules"],
            "energy_low_j": energy["low_j"],
            "energy_high_j": energy["high_j"],
            "edge_j": energy["edge_j"],
            "uncertainty_j": self.uncertainty_j,
            "warnings": list(self.warnings),
            "invalid": list(invalid),
            "counts": dict(self.counts),
        }


def together(parts: Sequence[DeviceEnergy]) -> DeviceEnergy:
    """One device's energy in several sessions, in the order of time."""
    if len(parts) == 1:
        return parts[0]
    invalid = tuple(dict.fromkeys(text for part in parts for text in part.invalid))
    warnings = tuple(dict.fromkeys(text for part in parts for text in part.warnings))
    counter_j, integral_j = _known(part.counter_j for part in parts), _known(part.integral_j for part in parts)
    compared = [part.agree for part in parts if part.agree is not None]
    energy = replace(Energy.known(part.energy for part in parts), problems=invalid + warnings)
    return replace(
        parts[0],
        energy=energy if energy.joules is not None else replace(energy, kind=parts[0].kind),
        shared=any(part.shared for part in parts),
        counter_j=counter_j,
        integral_j=integral_j,
        ratio=counter_j / integral_j if counter_j is not None and integral_j else None,
        agree=all(compared) if compared else None,
        samples=sum(part.samples for part in parts),
        mean_power_w=None,
        temperature_end_c=parts[-1].temperature_end_c,
        invalid=invalid,
        warnings=warnings,
        counts=sum((part.counts for part in parts), Counter()),
    )


def _known(values: Any) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None


@dataclass
class _Findings:
    """What is found out about one device's window on the way to its energy."""

    readings: DeviceReadings
    begin_s: float
    end_s: float
    counts: Counter[str]
    invalid: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    joules: float | None = None
    low_j: float | None = None
    high_j: float | None = None
    edge_j: float = 0.0
    counter_j: float | None = None
    integral_j: float | None = None
    ratio: float | None = None
    agree: bool | None = None

    @property
    def duration_s(self) -> float:
        return self.end_s - self.begin_s

    @property
    def counter_period_s(self) -> float:
        return self.readings.info.update_period_s or self.readings.spacing_s

    def energy(self) -> Energy:
        problems = tuple(dict.fromkeys([*self.invalid, *self.warnings]))
        kind = self.readings.info.kind
        if self.joules is None:
            return Energy.unknown(*problems, kind=kind)
        return Energy(self.joules, self.low_j, self.high_j, self.edge_j, kind, not self.invalid, problems)


def device_energy(readings: DeviceReadings, t0_s: float, t1_s: float) -> DeviceEnergy:
    """Cut ``[t0_s, t1_s]`` out of one device's readings."""
    info = readings.info
    found = _Findings(readings, t0_s, t1_s, Counter(readings.counts))
    start_c = end_c = None
    if len(readings.all_t_s) == 0:
        found.invalid.append("no readings")
    else:
        _coverage(found)
        if info.power_from == "model" and readings.energy is not None:
            _modelled(found)
        else:
            _measured(found)
        if info.kind != MODELLED:
            start_c, end_c = _circumstances(found)
    known = found.joules is not None and found.duration_s > 0
    return DeviceEnergy(
        info.device,
        info.source,
        found.energy(),
        part=info.part,
        counted=info.counted,
        shared=info.shared,
        counter_j=found.counter_j,
        integral_j=found.integral_j,
        ratio=found.ratio,
        agree=found.agree,
        samples=int(np.sum((readings.all_t_s >= t0_s) & (readings.all_t_s <= t1_s))),
        mean_power_w=(found.joules or 0.0) / found.duration_s if known else None,
        temperature_start_c=start_c,
        temperature_end_c=end_c,
        invalid=tuple(found.invalid),
        warnings=tuple(found.warnings),
        counts=found.counts,
    )


def _coverage(found: _Findings) -> None:
    """Say where readings are missing, and whether that touches the window's edges."""
    readings, t0_s, t1_s = found.readings, found.begin_s, found.end_s
    t, max_gap_s = readings.all_t_s, readings.max_gap_s
    if t[0] - t0_s > max_gap_s:
        found.invalid.append(f"readings begin {t[0] - t0_s:.2f} s after the window")
    if t1_s - t[-1] > max_gap_s:
        found.invalid.append(f"readings end {t1_s - t[-1]:.2f} s before the window")
    found.warnings.extend(
        f"the device was lost {moment - t0_s:.2f} s into the window"
        for moment in readings.lost_s
        if t0_s <= moment <= t1_s
    )
    if any(t0_s <= moment <= t1_s for moment in readings.bad_s):
        found.invalid.append("the clock jumped inside the window")
    gaps = np.diff(t)
    for edge, name in ((t0_s, "begins"), (t1_s, "ends")):
        i = int(np.searchsorted(t, edge))
        if 0 < i < len(t) and gaps[i - 1] > max_gap_s:
            found.invalid.append(f"the window {name} in a gap of {gaps[i - 1]:.2f} s without readings")
    inside = gaps[(t[1:] > t0_s) & (t[:-1] < t1_s)]
    missed = inside[inside > max_gap_s]
    if len(missed):
        found.counts["gaps"] += len(missed)
        found.warnings.append(f"{len(missed)} gap(s) without readings, {float(np.sum(missed)):.2f} s in all")


def _modelled(found: _Findings) -> None:
    t0_s, t1_s, readings = found.begin_s, found.end_s, found.readings

    def cut(cumulative: Curve) -> float:
        t, energy = cumulative
        if len(t) < 2:
            return 0.0
        values = np.interp([t0_s, t1_s], t, energy)
        # Beyond the readings the mean power of the nearest interval goes on; coverage says if that is too far.
        before = (energy[1] - energy[0]) / (t[1] - t[0]) * max(0.0, min(t[0], t1_s) - t0_s)
        after = (energy[-1] - energy[-2]) / (t[-1] - t[-2]) * max(0.0, t1_s - max(t[-1], t0_s))
        return float(values[1] - values[0] + before + after)

    if readings.energy is None or len(readings.energy[0]) < 2:
        found.invalid.append("too few readings")
        return
    found.joules = cut(readings.energy)
    found.low_j = cut(readings.low) if readings.low else None
    found.high_j = cut(readings.high) if readings.high else None


def _measured(found: _Findings) -> None:
    readings, info = found.readings, found.readings.info
    integral: Integral | None = None
    if len(readings.t_s) and info.power_from != "counter":
        integral = integrate(readings.t_s, readings.power_w, found.begin_s, found.end_s, readings.max_gap_s)
        found.integral_j = integral.energy_j
    if readings.counter is not None:
        found.counter_j, found.edge_j = _counter_energy(found)
        if integral is not None:
            _compare(found, found.counter_j, integral)
    if found.counter_j is not None:
        found.joules = found.counter_j
    elif integral is not None:
        _integrated(found, integral)
    if found.joules is None:
        found.invalid.append("neither a counter nor a power reading")
        return
    uncertainty_j = found.edge_j + info.tolerance * found.joules
    found.low_j, found.high_j = max(0.0, found.joules - uncertainty_j), found.joules + uncertainty_j


def _integrated(found: _Findings, integral: Integral) -> None:
    """Take the integrated power, for want of a counter."""
    found.joules, found.edge_j = integral.energy_j, integral.uncertainty_j
    if found.readings.info.power_from == "average_1s":
        swing = float(np.ptp(found.readings.power_w)) if len(found.readings.power_w) else 0.0
        found.edge_j += swing * 1.0
        found.warnings.append("power is a one-second average: the window's edges are smeared by a second")
    if integral.gap_s > _GAP_SHARE * found.duration_s:
        found.invalid.append(f"no counter, and no power readings for {integral.gap_s:.2f} s of the window")


def _counter_energy(found: _Findings) -> tuple[float, float]:
    """Joules by the counter, and what the edges leave open."""
    readings, t0_s, t1_s = found.readings, found.begin_s, found.end_s
    assert readings.counter is not None
    power = PowerCurve(readings.t_s, readings.power_w)
    if readings.info.power_from == "counter":
        power = PowerCurve(power.t_s[:0], power.power_w[:0])
    first, first_off = energy_at(readings.counter, t0_s, power)
    last, last_off = energy_at(readings.counter, t1_s, power)
    energy_j = max(0.0, last - first)
    period_s, length_s = found.counter_period_s, max(found.duration_s, 1e-9)
    half_step_j = 0.5 * period_s * energy_j / length_s
    off_j = max(first_off, half_step_j) + max(last_off, half_step_j)
    if found.duration_s < _SHORT_PERIODS * period_s:
        found.warnings.append(
            f"short window: {found.duration_s:.2f} s with a counter that updates every {period_s * 1e3:.0f} ms"
        )
    for begin, end in readings.resets:
        if end >= t0_s and begin <= t1_s:
            bridge_j = _bridge(readings, max(begin, t0_s), min(end, t1_s), energy_j / length_s)
            energy_j += bridge_j
            off_j += 2 * bridge_j
            found.warnings.append(f"the counter began anew {end - t0_s:.2f} s into the window; bridged with power")
            inside = readings.all_t_s[(readings.all_t_s >= begin) & (readings.all_t_s <= end)]
            if np.max(np.diff(inside), initial=0.0) > readings.max_gap_s:
                found.invalid.append("the counter began anew during a gap in the readings")
    return energy_j, off_j


def _bridge(readings: DeviceReadings, begin_s: float, end_s: float, mean_w: float) -> float:
    if end_s <= begin_s:
        return 0.0
    # The counter was last placed half a reading before, and begins half a reading after the reset.
    begin_s, end_s = begin_s - readings.spacing_s / 2, end_s + readings.spacing_s / 2
    if len(readings.t_s) and readings.info.power_from != "counter":
        return integrate(readings.t_s, readings.power_w, begin_s, end_s, readings.max_gap_s).energy_j
    return mean_w * (end_s - begin_s)


def _compare(found: _Findings, counter_j: float, integral: Integral) -> None:
    integral_j = integral.energy_j
    if _stood_still(found, _SHORT_PERIODS * found.counter_period_s) and integral_j > 0:
        found.warnings.append("the energy counter stood still; integrated power is used")
        found.counter_j, found.ratio, found.agree = None, 0.0, False
        return
    if integral_j <= 0:
        return
    found.ratio = counter_j / integral_j
    allowed = AGREE_WITHIN * integral_j + found.edge_j + integral.uncertainty_j
    found.agree = abs(counter_j - integral_j) <= allowed
    if not found.agree:
        found.warnings.append(f"counter and integrated power disagree: ratio {found.ratio:.3f}")


def _stood_still(found: _Findings, least_s: float) -> bool:
    """Whether the counter's readings around a window say the same for too long."""
    assert found.readings.energy is not None
    t, energy = found.readings.energy
    first = max(0, int(np.searchsorted(t, found.begin_s, side="right")) - 1)
    last = min(len(t) - 1, int(np.searchsorted(t, found.end_s)))
    length_s = min(t[last], found.end_s) - max(t[first], found.begin_s)
    return bool(length_s > least_s and energy[first] == energy[last])


def _circumstances(found: _Findings) -> tuple[float | None, float | None]:
    """Warn of what makes joules hard to compare; give the temperatures (°C) at the window's edges."""
    # Temperatures and the like are read every second and a half: this margin gives short windows theirs.
    margin = [found.begin_s - 1.6, found.end_s + 1.6]
    lo, hi = np.searchsorted(found.readings.sample_t_s, margin)
    inside = found.readings.samples[lo:hi]
    temperatures = [s.temperature_c for s in inside if s.temperature_c is not None]
    if temperatures and abs(temperatures[-1] - temperatures[0]) > _DRIFT_C:
        found.warnings.append(
            f"temperature drifted from {temperatures[0]:.0f} to {temperatures[-1]:.0f} °C: leakage changes with it"
        )
    seen = [s.throttle for s in inside if s.throttle is not None]
    throttled = [reason for reason in seen if reason != "none"]
    if throttled:
        names = "+".join(sorted({name for reason in throttled for name in reason.split("+")}))
        found.warnings.append(f"throttled for {100 * len(throttled) / len(seen):.0f} % of the readings: {names}")
    foreign = max((s.foreign for s in inside if s.foreign is not None), default=0)
    if foreign:
        found.warnings.append(f"{foreign} foreign process(es) on the device: their joules are included")
    if found.readings.info.shared:
        found.warnings.append("the card is shared (MIG): joules are the whole card's")
    return (temperatures[0], temperatures[-1]) if temperatures else (None, None)
