"""The joules of one device in one window, with what speaks for and against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from greenbench.power.energy import Energy, HasEnergy
from greenbench.power.journal.counted import counter_energy
from greenbench.power.journal.curve import Curve
from greenbench.power.journal.findings import Findings
from greenbench.power.journal.hold import hold_error_j
from greenbench.power.journal.integrate import Integral, integrate
from greenbench.power.journal.readings import DeviceReadings
from greenbench.power.plausible import limit_w, still_s
from greenbench.power.samples import MODELLED

_MODEL_MARGIN = 10.0  # above the limit of one device of a kind: a model may stand for several, and learn late
AGREE_WITHIN = 0.05
_DRIFT_C = 10.0
_GAP_SHARE = 0.01
_ONE_IS_WRONG = 3.0  # counter over power, or power over counter: no load makes two working sensors differ so
_FROZEN_READINGS = 20
_FROZEN_USE_PCT = 80.0


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


def device_energy(readings: DeviceReadings, t0_s: float, t1_s: float) -> DeviceEnergy:
    """Cut ``[t0_s, t1_s]`` out of one device's readings."""
    info = readings.info
    found = Findings(readings, t0_s, t1_s, Counter(readings.counts))
    start_c = end_c = None
    _refused(found)
    if len(readings.all_t_s) == 0:
        found.invalid.append(info.missing or ("no reading that can be true" if readings.refused else "no readings"))
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


def _refused(found: Findings) -> None:
    """Name the readings that cannot be true; those around them bridge what they leave out."""
    margin_s = found.readings.spacing_s
    texts = [why for t, why in found.readings.refused if found.begin_s - margin_s <= t <= found.end_s + margin_s]
    if texts:
        found.warnings.append(f"{len(texts)} impossible reading(s) left out, the first of {texts[0]}")


def _coverage(found: Findings) -> None:
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


def _modelled(found: Findings) -> None:
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
    most_possible_j = _MODEL_MARGIN * limit_w(readings.info) * (found.duration_s + 1.0)
    if not 0.0 <= found.joules <= most_possible_j:
        found.invalid.append(f"{found.joules:.4g} J of a model, more or less than a device can draw: damaged readings")
        found.joules = None
        return
    found.low_j = cut(readings.low) if readings.low else None
    found.high_j = cut(readings.high) if readings.high else None
    if any(side_j is not None and not 0.0 <= side_j <= most_possible_j for side_j in (found.low_j, found.high_j)):
        found.invalid.append("the range of a model is more or less than a device can draw: damaged readings")
        found.low_j = found.high_j = None


def _measured(found: Findings) -> None:
    readings, info = found.readings, found.readings.info
    integral: Integral | None = None
    if len(readings.t_s) and info.power_from != "counter":
        integral = integrate(readings.t_s, readings.power_w, found.begin_s, found.end_s, readings.max_gap_s)
        found.integral_j = integral.energy_j
    if readings.counter is not None:
        if integral is not None and integral.energy_j > 0 and _stood_still(found, still_s(info)):
            found.warnings.append("the energy counter stood still; integrated power is used")
            found.ratio, found.agree = 0.0, False
        else:
            found.counter_j, found.edge_j = counter_energy(found)
    if found.counter_j is not None:
        found.joules = found.counter_j
    elif integral is not None:
        _integrated(found, integral)
    if found.joules is None:
        if not found.invalid:
            found.invalid.append("neither a counter nor a power reading")
        return
    uncertainty_j = found.edge_j + info.tolerance * found.joules
    found.low_j, found.high_j = max(0.0, found.joules - uncertainty_j), found.joules + uncertainty_j
    if found.counter_j is not None and integral is not None:
        _compare(found, found.counter_j, integral)


def _integrated(found: Findings, integral: Integral) -> None:
    """Take the integrated power, for want of a counter."""
    held_j = hold_error_j(found.readings.power, found.begin_s, found.end_s)
    found.joules, found.edge_j = integral.energy_j, integral.uncertainty_j + held_j
    if found.readings.info.power_from == "average_1s":
        swing = float(np.ptp(found.readings.power_w)) if len(found.readings.power_w) else 0.0
        found.edge_j += swing * 1.0
        found.warnings.append("power is a one-second average: the window's edges are smeared by a second")
    if integral.gap_s > _GAP_SHARE * found.duration_s:
        found.invalid.append(f"no counter, and no power readings for {integral.gap_s:.2f} s of the window")
    _frozen_power(found)


def _frozen_power(found: Findings) -> None:
    """A power reading that stays the same to the last digit while the device's use comes and goes is no reading."""
    inside = found.readings.power.inside(found.begin_s, found.end_s)
    if len(inside.t_s) < _FROZEN_READINGS or float(np.ptp(inside.power_w)) > 0.0:
        return
    lo, hi = np.searchsorted(found.readings.sample_t_s, [found.begin_s, found.end_s])
    use = [s.util_pct for s in found.readings.samples[lo:hi] if s.util_pct is not None]
    if use and max(use) - min(use) >= _FROZEN_USE_PCT:
        found.invalid.append(
            f"power stood at {inside.power_w[0]:g} W while use went from {min(use):.0f} to {max(use):.0f} %"
        )


def _compare(found: Findings, counter_j: float, integral: Integral) -> None:
    """Hold the counter against integrated power; where they disagree, the range covers both."""
    integral_j = integral.energy_j
    if integral_j <= 0:
        return
    found.ratio = counter_j / integral_j
    allowed = AGREE_WITHIN * integral_j + found.edge_j + integral.uncertainty_j
    found.agree = abs(counter_j - integral_j) <= allowed
    if found.agree:
        return
    text = f"counter and integrated power disagree: ratio {found.ratio:.3f}"
    if max(found.ratio, 1 / max(found.ratio, 1e-9)) > _ONE_IS_WRONG and integral.gap_s <= _GAP_SHARE * found.duration_s:
        found.invalid.append(f"{text}; one of the two does not work")
    else:
        found.warnings.append(text)
    found.low_j = min(found.low_j or 0.0, max(0.0, integral_j - integral.uncertainty_j))
    found.high_j = max(found.high_j or 0.0, integral_j + integral.uncertainty_j)


def _stood_still(found: Findings, least_s: float) -> bool:
    """Whether the counter's readings around a window say the same for too long."""
    assert found.readings.energy is not None
    t, energy = found.readings.energy
    first = max(0, int(np.searchsorted(t, found.begin_s, side="right")) - 1)
    last = min(len(t) - 1, int(np.searchsorted(t, found.end_s)))
    length_s = min(t[last], found.end_s) - max(t[first], found.begin_s)
    return bool(length_s > least_s and energy[first] == energy[last])


def _circumstances(found: Findings) -> tuple[float | None, float | None]:
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
