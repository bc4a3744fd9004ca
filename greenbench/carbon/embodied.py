"""What lies beside the grid's factor: data-centre overhead (PUE), embodied carbon and the SCI score."""

from __future__ import annotations

from dataclasses import dataclass

from greenbench.errors import ConfigError, did_you_mean
from greenbench.units import SECONDS_PER_HOUR

_YEAR_S = 365.25 * 24 * SECONDS_PER_HOUR
_G_PER_KG = 1000.0


@dataclass(frozen=True)
class Embodied:
    """Carbon of making a device, spread evenly over its service life."""

    device: str
    kg_co2e: float
    lifetime_years: float
    source: str


# EcoLogits 0.9.1 (genai-impact/ecologits): 164 kgCO2e per GPU, 5700 kgCO2e per server without GPUs, 3 years.
DEVICES = {
    "gpu": Embodied("gpu", 164.0, 3.0, "EcoLogits 0.9.1, per data-centre GPU"),
    "server": Embodied("server", 5700.0, 3.0, "EcoLogits 0.9.1, per 8-GPU server without its GPUs"),
}


def embodied_for(device: str) -> Embodied:
    """Return the table's entry.

    Raises:
        ConfigError: a device the table does not hold.
    """
    if device not in DEVICES:
        raise ConfigError(f"carbon.embodied: unknown device {device!r}{did_you_mean(device, DEVICES)}")
    return DEVICES[device]


def embodied_g(device: Embodied, duration_s: float, *, count: float = 1.0) -> float:
    """Share of the embodied carbon for ``duration_s`` of exclusive use of ``count`` devices, in grams."""
    return device.kg_co2e * _G_PER_KG * count * duration_s / (device.lifetime_years * _YEAR_S)


def with_pue(energy_j: float, pue: float) -> float:
    """Facility energy in joules for the IT energy and a power usage effectiveness of at least 1.

    Raises:
        ConfigError: a PUE below 1.
    """
    if not 1.0 <= pue < float("inf"):
        raise ConfigError(f"carbon.pue = {pue}: power usage effectiveness is 1 or more")
    return energy_j * pue


def sci(energy_g: float, embodied_grams: float, units: float) -> float:
    """Software carbon intensity, (E x I + M) / R, in grams per functional unit.

    Args:
        energy_g: E x I, the operational emissions.
        embodied_grams: M.
        units: R, chosen by the user: runs, hours of audio, points of a metric.

    Raises:
        ConfigError: R is not positive.
    """
    if not units > 0:
        raise ConfigError(f"SCI: R = {units}; the number of functional units must be positive")
    return (energy_g + embodied_grams) / units
