"""What was drawn while no sampler read, because it had died and was started anew: modelled by the power around."""

from __future__ import annotations

import numpy as np

from greenbench.power.energy import Energy
from greenbench.power.journal.curve import Floats
from greenbench.power.journal.device_energy import DeviceEnergy
from greenbench.power.journal.readings import DeviceReadings
from greenbench.power.samples import MODELLED

LONGEST_S = 10.0
"""A longer hole is no longer known by its edges: the window is not valid."""
_AROUND_S = 5.0
_STEP_S = 0.5


def hole_energy(before: DeviceReadings, after: DeviceReadings | None, hole_s: float, part_s: float) -> DeviceEnergy:
    """Joules of one device in ``part_s`` of a hole of ``hole_s`` seconds.

    The mean of the power within five seconds on either side, half a second at a time; the least and greatest of them
    are the range.
    """
    info = before.info
    power_w = np.concatenate([_power(before, last=True), *([] if after is None else [_power(after, last=False)])])
    text = f"{part_s:.2f} s without a sampler, which had died, are modelled by the power before and after"
    if len(power_w) == 0:
        energy = Energy.unknown(f"{part_s:.2f} s without a sampler, and no power on either side", kind=info.kind)
    else:
        low_w, mean_w, high_w = (float(f(power_w)) for f in (np.min, np.mean, np.max))
        energy = Energy(
            mean_w * part_s,
            low_w * (1 - info.tolerance) * part_s,
            high_w * (1 + info.tolerance) * part_s,
            kind=MODELLED,
            valid=hole_s <= LONGEST_S,
            problems=(text,),
        )
    long = () if energy.valid else energy.problems
    return DeviceEnergy(
        info.device,
        info.source,
        energy,
        part=info.part,
        counted=info.counted,
        shared=info.shared,
        invalid=long,
        warnings=() if long else energy.problems,
    )


def _power(readings: DeviceReadings, *, last: bool) -> Floats:
    """Mean power of the half seconds nearest to the hole."""
    t_s, energy_j = readings.drawn
    if len(t_s) < 2:
        return t_s[:0]
    begin_s, end_s = float(t_s[0]), float(t_s[-1])
    begin_s, end_s = (max(begin_s, end_s - _AROUND_S), end_s) if last else (begin_s, min(end_s, begin_s + _AROUND_S))
    edges = np.linspace(begin_s, end_s, 1 + max(1, int((end_s - begin_s) / _STEP_S)))
    return np.asarray(np.diff(np.interp(edges, t_s, energy_j)) / np.diff(edges), dtype=float)
