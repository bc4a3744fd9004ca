"""Windows of a power journal as the records of a run folder: a sum of them, one device, one phase."""

from __future__ import annotations

from collections.abc import Sequence

from greenbench.power.energy import Energy
from greenbench.power.journal.device_energy import DeviceEnergy
from greenbench.power.journal.window_energy import WindowEnergy
from greenbench.records.result import DeviceRecord, EnergyRecord, PhaseEnergy


def total_energy(windows: Sequence[WindowEnergy]) -> Energy:
    """The sum of windows; unknown where one is."""
    return Energy.total(window.energy for window in windows)


def energy_record(windows: Sequence[WindowEnergy], energy: Energy | None = None) -> EnergyRecord:
    """Keep the sum of windows with their devices; ``energy`` is the sum where it is more than that."""
    energy = total_energy(windows) if energy is None else energy
    return EnergyRecord(
        energy_j=energy.joules,
        energy_low_j=energy.low_j,
        energy_high_j=energy.high_j,
        uncertainty_j=energy.uncertainty_j,
        source=next((window.source for window in windows if window.source), None),
        kind=energy.kind,
        valid=energy.valid if windows else None,
        problems=tuple(sorted(energy.problems)),
        devices=tuple(_device(device) for window in windows for device in window.devices),
        duration_s=sum(window.duration_s for window in windows),
    )


def phase_energy(
    name: str, session: int, begin_ns: int, end_ns: int, window: WindowEnergy, *, origin_ns: int
) -> PhaseEnergy:
    """Keep a phase of a run that began at ``origin_ns``, with the joules of its window."""
    return PhaseEnergy(
        phase=name,
        session=session,
        begin_s=(begin_ns - origin_ns) / 1e9,
        duration_s=(end_ns - begin_ns) / 1e9,
        begin_ns=begin_ns,
        end_ns=end_ns,
        energy_j=window.energy_j,
        energy_low_j=window.energy_low_j,
        energy_high_j=window.energy_high_j,
        kind=window.kind,
        mean_power_w=window.mean_power_w,
        valid=window.valid,
    )


def _device(device: DeviceEnergy) -> DeviceRecord:
    return DeviceRecord(
        name=device.name,
        kind=device.kind or "",
        source=device.source,
        part=device.part,
        energy_j=device.energy_j,
        energy_low_j=device.energy_low_j,
        energy_high_j=device.energy_high_j,
        counter_j=device.counter_j,
        integral_j=device.integral_j,
        ratio=device.ratio,
        agree=device.agree,
        uncertainty_j=device.uncertainty_j,
        edge_j=device.edge_j or 0.0,
        samples=device.samples,
        warnings=device.warnings,
        invalid=device.invalid,
        mean_power_w=device.mean_power_w,
        temperature_start_c=device.temperature_start_c,
        temperature_end_c=device.temperature_end_c,
        counted=device.counted,
        shared=device.shared,
        counts=dict(device.counts),
    )
