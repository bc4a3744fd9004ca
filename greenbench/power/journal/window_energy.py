"""The joules of all counted devices in one window, summed over devices and over the sessions it spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from greenbench.power.energy import Energy, HasEnergy
from greenbench.power.journal.device_energy import DeviceEnergy, together


@dataclass(frozen=True)
class WindowEnergy(HasEnergy):
    """Energy of all counted devices in one window.

    ``energy`` is unknown where nothing was recorded. Its uncertainty is the meter's part only: edges, sensor tolerance
    and model range; spread between runs and carbon factors are kept elsewhere. It is not valid where a counted
    device's figure must not be used. ``hole_s`` is the time between sessions, of which nothing is known.
    """

    energy: Energy
    source: str | None
    mean_power_w: float | None
    duration_s: float
    devices: tuple[DeviceEnergy, ...]
    counts: dict[str, int] = field(default_factory=dict)
    hole_s: float = 0.0


def window_energy(devices: Sequence[DeviceEnergy], duration_s: float, notes: Sequence[str] = ()) -> WindowEnergy:
    """Add the devices of one window; ``notes`` go before what the devices have to say."""
    counted = [d for d in devices if d.counted]
    known = [d for d in counted if d.energy_j is not None]
    problems = [*notes, *(f"{d.name}: {text}" for d in devices for text in d.energy.problems)]
    if not (known or problems):
        problems = ["no power source was recorded"]
    energy = replace(Energy.known(d.energy for d in counted), problems=tuple(dict.fromkeys(problems)))
    counts: Counter[str] = Counter()
    for device in devices:
        counts.update(device.counts)
    return WindowEnergy(
        energy=energy,
        source="+".join(dict.fromkeys(d.source for d in known)) or None,
        mean_power_w=None if energy.joules is None or duration_s <= 0 else energy.joules / duration_s,
        duration_s=duration_s,
        devices=tuple(devices),
        counts=dict(counts) if known else {},
    )


def sessions_energy(
    parts: Sequence[WindowEnergy], duration_s: float, *, hole_s: float = 0.0, notes: Sequence[str] = ()
) -> WindowEnergy:
    """Add the parts of one window that lie in different sessions, ``hole_s`` seconds of which nobody recorded."""
    if len(parts) == 1 and not notes:
        return parts[0]
    sessions: dict[str, list[DeviceEnergy]] = {}
    for device in (d for part in parts for d in part.devices):
        sessions.setdefault(device.name, []).append(device)
    whole = window_energy([together(of_one) for of_one in sessions.values()], duration_s, notes)
    recorded_s = duration_s - hole_s
    mean_w = whole.energy_j / recorded_s if whole.energy_j is not None and recorded_s > 0 else None
    return replace(whole, mean_power_w=mean_w, hole_s=hole_s)
