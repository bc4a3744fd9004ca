"""A raw energy counter made cumulative: wraps added, and every interval in which it cannot be believed taken out.

What a break leaves out is bridged by the power readings, see ``device_energy``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from greenbench.power.journal.curve import Floats, PowerCurve
from greenbench.power.journal.integrate import integrate
from greenbench.power.plausible import CATCH_UP, most_j, still_s
from greenbench.power.samples import DeviceInfo

Kind = Literal["reset", "jump", "stuck"]
RESET: Kind = "reset"
JUMP: Kind = "jump"
STUCK: Kind = "stuck"
_LEAST_READINGS = 3  # of one value, before a counter is said to stand still
_NEVER_AT_REST = frozenset({"cpu", "dram", "platform"})  # parts that draw power as long as anybody can read them


@dataclass(frozen=True)
class Break:
    """An interval of which the counter says nothing: it began anew, jumped by ``step_j``, or stood still."""

    begin_s: float
    end_s: float
    kind: Kind
    step_j: float = 0.0


@dataclass(frozen=True)
class Unwrapped:
    """Cumulative joules at the times of the readings, constant over ``breaks``.

    ``backward`` counts small backward steps (the counter holds until it has caught up), ``wraps`` its overflows.
    """

    energy_j: Floats
    breaks: tuple[Break, ...] = ()
    backward: int = 0
    wraps: int = 0


def unwrap(energy_j: Floats, t_s: Floats, info: DeviceInfo) -> Unwrapped:
    """Make a raw counter cumulative; a step that the device cannot have made, up or down, is a break."""
    out = np.empty_like(energy_j)
    breaks: list[Break] = []
    backward = wraps = 0
    offset, top = 0.0, energy_j[0]
    changed_s = float(t_s[0])  # what it gains after a standstill it may have gained since then
    out[0] = energy_j[0]
    for i in range(1, len(energy_j)):
        step_j = energy_j[i] + offset - top
        allowed_j = most_j(info, float(t_s[i]) - changed_s)
        if step_j < 0 and info.wrap_j is not None and -step_j > 0.5 * info.wrap_j:
            offset += info.wrap_j
            step_j += info.wrap_j
            wraps += 1
        if step_j > allowed_j or _is_reset(energy_j, i) or -step_j > allowed_j:
            kind = JUMP if step_j > 0 else RESET
            breaks.append(Break(float(t_s[i - 1]), float(t_s[i]), kind, float(step_j)))
            offset = top - energy_j[i]
        elif step_j >= 0:
            top = energy_j[i] + offset
        else:
            backward += 1
        if energy_j[i] != energy_j[i - 1]:
            changed_s = float(t_s[i])
        out[i] = top
    return Unwrapped(out, tuple(breaks), backward, wraps)


def _is_reset(energy_j: Floats, i: int) -> bool:
    # After a reset the counter begins near zero; a backward step is small against the counter itself.
    return bool(energy_j[i] < 0.5 * energy_j[i - 1] and energy_j[i - 1] > 0)


def standstills(total_j: Floats, t_s: Floats, info: DeviceInfo, power: PowerCurve) -> list[Break]:
    """Find where a counter stood still while its device went on, and did not make up for it afterwards.

    Power readings say what was drawn meanwhile. Without any, the counter's own mean does, for parts that never rest.
    """
    changed = np.flatnonzero(np.diff(total_j) != 0)  # the last reading of each value
    first = np.concatenate([[0], changed + 1])
    last = np.concatenate([changed, [len(total_j) - 1]])
    length = t_s[last] - t_s[first]
    long = (length > still_s(info)) & (last - first + 1 >= _LEAST_READINGS)
    moving_s = float(t_s[-1] - t_s[0] - np.sum(length[long]))
    mean_w = float(total_j[-1] - total_j[0]) / moving_s if moving_s > 0 else 0.0
    found = []
    for begin, end in zip(first[long], last[long], strict=True):
        begin_s, end_s = float(t_s[begin]), float(t_s[end])
        step_j = float(total_j[end + 1] - total_j[end]) if end + 1 < len(total_j) else 0.0
        if len(power.around(begin_s, end_s).t_s) > 1:
            drawn_j = integrate(power.t_s, power.power_w, begin_s, end_s, np.inf).energy_j
        elif info.part in _NEVER_AT_REST:
            drawn_j = mean_w * (end_s - begin_s) or np.inf
        else:
            continue
        if step_j < CATCH_UP * drawn_j:
            found.append(Break(begin_s, end_s, STUCK))
    return found
