"""Joules of one device's window by its energy counter, with every break in it bridged and named."""

from __future__ import annotations

import numpy as np

from greenbench.power.journal.between import energy_at
from greenbench.power.journal.curve import PowerCurve
from greenbench.power.journal.findings import Findings
from greenbench.power.journal.integrate import integrate
from greenbench.power.journal.unwrap import JUMP, RESET, STUCK, Break
from greenbench.power.plausible import limit_w

_SHORT_PERIODS = 10
_BRIDGED_SHARE = 0.1  # of a window, bridged with nothing but the counter's own mean, from which on it is not valid
_UNKNOWN_SHARE = 0.5  # and from which on there is no figure at all


def counter_energy(found: Findings) -> tuple[float | None, float]:
    """Joules by the counter, and what edges and breaks leave open; None where it says too little."""
    readings, t0_s, t1_s = found.readings, found.begin_s, found.end_s
    assert readings.counter is not None
    power = PowerCurve(readings.t_s[:0], readings.power_w[:0]) if _only_counter(found) else readings.power
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
    breaks = [b for b in readings.breaks if b.end_s >= t0_s and b.begin_s <= t1_s]
    if not breaks:
        return energy_j, off_j
    broken_s = sum(_length_s(found, b) for b in breaks)
    mean_w = energy_j / (length_s - broken_s) if length_s > broken_s else 0.0
    for one in breaks:
        bridge_j, bridge_off_j = _bridge(found, one, mean_w)
        energy_j += bridge_j
        off_j += bridge_off_j
    _name(found, breaks)
    return (None if _unknown(found, breaks) else energy_j), off_j


def _only_counter(found: Findings) -> bool:
    return found.readings.info.power_from == "counter" or not len(found.readings.t_s)


def _length_s(found: Findings, one: Break) -> float:
    return max(0.0, min(one.end_s, found.end_s) - max(one.begin_s, found.begin_s))


def _bridge(found: Findings, one: Break, mean_w: float) -> tuple[float, float]:
    """Joules of an interval of which the counter says nothing, and how far they may be off."""
    begin_s, end_s = max(one.begin_s, found.begin_s), min(one.end_s, found.end_s)
    if end_s <= begin_s:
        return 0.0, 0.0
    if _only_counter(found):
        bridge_j = mean_w * (end_s - begin_s)
        return bridge_j, 2 * bridge_j + 2 * mean_w * found.counter_period_s
    readings = found.readings
    power = integrate(readings.t_s, readings.power_w, begin_s, end_s, readings.max_gap_s)
    # The updates on either side of it may be a period old.
    period_j = found.counter_period_s * power.energy_j / (end_s - begin_s)
    return power.energy_j, min(2 * power.energy_j, power.uncertainty_j + readings.spacing_s * mean_w) + 2 * period_j


def _name(found: Findings, breaks: list[Break]) -> None:
    """Say what was bridged, and with what."""
    means = "its own mean" if _only_counter(found) else "power"
    for kind, words in ((RESET, "began anew"), (JUMP, "jumped")):
        these = [b for b in breaks if b.kind == kind]
        if not these:
            continue
        first = these[0]
        text = f"the counter {words} {first.end_s - found.begin_s:.2f} s into the window"
        if kind == JUMP:
            text += (
                f" by {first.step_j:.4g} J in {first.end_s - first.begin_s:.3f} s, which a device of "
                f"{limit_w(found.readings.info):g} W at most cannot have drawn"
            )
        if len(these) > 1:
            text += f", and {len(these) - 1} more time(s)"
        found.warnings.append(f"{text}; bridged with {means}")
    still_s = sum(_length_s(found, b) for b in breaks if b.kind == STUCK)
    if still_s > 0 and not _only_counter(found):
        found.warnings.append(f"the energy counter stood still for {still_s:.2f} s; bridged with power")
    for one in breaks:
        inside = found.readings.all_t_s
        inside = inside[(inside >= one.begin_s) & (inside <= one.end_s)]
        if one.kind != STUCK and np.max(np.diff(inside), initial=0.0) > found.readings.max_gap_s:
            found.invalid.append(
                f"the counter {'jumped' if one.kind == JUMP else 'began anew'} during a gap in the readings"
            )


def _unknown(found: Findings, breaks: list[Break]) -> bool:
    """Whether too little of a window is left, where the counter is all there is."""
    if not _only_counter(found):
        return False
    still_s = sum(_length_s(found, b) for b in breaks if b.kind == STUCK)
    other_s = sum(_length_s(found, b) for b in breaks if b.kind != STUCK)
    if still_s > 0:
        found.invalid.append(
            f"the energy counter stood still for {still_s:.2f} s, and nothing else says what was drawn"
        )
    if other_s > _BRIDGED_SHARE * found.duration_s:
        found.invalid.append(f"{other_s:.2f} s of the window are bridged with nothing but the counter's own mean")
    return still_s + other_s > _UNKNOWN_SHARE * found.duration_s
