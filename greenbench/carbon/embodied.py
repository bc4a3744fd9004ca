"""What lies beside the grid's factor: data-centre overhead (PUE), embodied carbon and the SCI score."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenbench.config import CarbonSection
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

    def describe(self, count: float) -> str:
        """Device, count, figure and source in words."""
        return f"{count:g} x {self.device}, {self.kg_co2e:g} kg over {self.lifetime_years:g} years: {self.source}"


@dataclass(frozen=True)
class EmbodiedUse:
    """A device whose making is charged, and how many of it were in use."""

    device: str
    kg_co2e: float
    lifetime_years: float
    source: str
    count: float = 1.0


# EcoLogits 0.9.1 (ecologits/impacts/llm.py): 164 kgCO2e per data-centre GPU of 80 GB, 5700 kgCO2e per server without
# its 8 GPUs, 3 years. Its 0.11.3 says 273 for the GPU: such figures are good to a factor of two, not to digits.
# Cloud Carbon Footprint (cloud-carbon-coefficients, ccfcoef/constants.py): 1000 kgCO2e, 4 years.
DEVICES = {
    "gpu": Embodied("gpu", 164.0, 3.0, "EcoLogits 0.9.1, per data-centre GPU"),
    "server": Embodied("server", 5700.0, 3.0, "EcoLogits 0.9.1, per 8-GPU server without its GPUs"),
    "rack-server": Embodied(
        "rack-server", 1000.0, 4.0, "Cloud Carbon Footprint, per one-socket rack server, little memory, no GPU"
    ),
}
# The cards of the class that EcoLogits' figure is for. Others are not guessed at: a laptop's GPU is a tenth of that.
_DATA_CENTRE_GPU = re.compile(r"\b(A100|A800|H100|H800)\b")


def embodied_for(device: str) -> Embodied:
    """The table's entry.

    Raises:
        ConfigError: a device the table does not hold.
    """
    if device not in DEVICES:
        raise ConfigError(f"carbon.embodied: unknown device {device!r}{did_you_mean(device, DEVICES)}")
    return DEVICES[device]


def embodied_g(device: Embodied, duration_s: float, *, count: float = 1.0) -> float:
    """Share of the embodied carbon for ``duration_s`` of exclusive use of ``count`` devices, in grams."""
    return device.kg_co2e * _G_PER_KG * count * duration_s / (device.lifetime_years * _YEAR_S)


def devices_in_use(settings: CarbonSection, gpus: Sequence[str]) -> list[tuple[Embodied, float]]:
    """The devices whose making is charged, with how many of each: as ``[carbon]`` states them.

    Args:
        settings: ``embodied`` and its companions.
        gpus: names of the GPUs in use, as their driver gives them.

    Raises:
        ConfigError: ``auto`` without a GPU, or with one that the table has no figure for.
    """
    if settings.embodied_kg is not None and settings.embodied_years is not None:
        own = Embodied("own device", settings.embodied_kg, settings.embodied_years, "given by the user")
        return [(own, settings.embodied_count or 1.0)]
    if settings.embodied is None:
        return []
    if settings.embodied == "auto":
        unknown = [name for name in gpus if not _DATA_CENTRE_GPU.search(name)]
        if unknown or not gpus:
            found = f"the table has no figure for {unknown[0]!r}" if unknown else "no GPU is in use"
            raise ConfigError(
                f"[carbon] embodied = 'auto': {found}, so there is no embodied figure; name a device "
                f"({', '.join(DEVICES)}) or state embodied_kg and embodied_years"
            )
    name = "gpu" if settings.embodied == "auto" else settings.embodied
    entry = embodied_for(name)
    if settings.embodied_years is not None:
        source = f"{entry.source}, service life by the user"
        entry = replace(entry, lifetime_years=settings.embodied_years, source=source)
    return [(entry, settings.embodied_count or (float(len(gpus)) if name == "gpu" and gpus else 1.0))]


def gpu_names(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of the GPUs that the power sources found (``sources`` of a sampler's answer)."""
    devices = [device for source in sources for device in source.get("devices") or () if device.get("part") == "gpu"]
    return [str((device.get("details") or {}).get("name") or device.get("device") or "") for device in devices]


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
