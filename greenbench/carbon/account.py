"""What a run emitted, each part on its own: the grid's share, PUE's overhead, the hardware's share, and SCI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenbench.carbon.embodied import EmbodiedUse, devices_in_use, embodied_g, sci, with_pue
from greenbench.carbon.factors import Factor, emissions_g
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.units import JOULES_PER_KWH


@dataclass(frozen=True)
class Account:
    """Figures and texts by the names of the columns; what is unknown is not in ``figures``."""

    figures: dict[str, Any]
    factor: Factor | None
    devices: list[EmbodiedUse] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def account(
    settings: CarbonSection,
    factor: Factor | None,
    *,
    energy_j: float | None,
    duration_s: float,
    gpus: Sequence[str] = (),
    counted: Mapping[str, float | None] | None = None,
) -> Account:
    """Put together what a run emitted.

    Args:
        settings: ``[carbon]``: PUE, devices, functional unit.
        factor: the grid's, None where it is unknown.
        energy_j: IT energy; no PUE is in it or goes into ``co2e_g``.
        duration_s: how long the devices were in use.
        gpus: names of the GPUs in use, for ``embodied = "auto"``.
        counted: R of the units that the run counts itself, by name.

    Returns:
        ``co2e_g = E x I`` with the factor's range; ``overhead_g = E x (PUE - 1) x I`` where a PUE above 1 is stated;
        ``embodied_g = M``; ``sci_g = (E x PUE x I + M) / R``. Grams. ``energy_cost = E x price``, without PUE, in the
        currency of the price.
    """
    figures: dict[str, Any] = {"pue": settings.pue} if factor else {}
    warnings: list[str] = []
    if factor is not None and energy_j is not None:
        grams, low, high = emissions_g(energy_j, factor)
        figures |= {
            "co2e_g": grams,
            "co2e_low_g": low,
            "co2e_high_g": high,
            "carbon_intensity_g_per_kwh": factor.g_per_kwh,
            "carbon_source": factor.source,
            "carbon_date": factor.date or None,
        }
        if settings.pue > 1:
            figures["overhead_g"] = emissions_g(with_pue(energy_j, settings.pue) - energy_j, factor)[0]
    if settings.price_per_kwh is not None and energy_j is not None:
        cost = energy_j / JOULES_PER_KWH * settings.price_per_kwh
        figures |= {"energy_price_per_kwh": settings.price_per_kwh, "energy_cost": cost}
    try:
        used = devices_in_use(settings, gpus)
    except ConfigError as error:
        used, warnings = [], [str(error)]
    if used:
        figures["embodied_g"] = sum(embodied_g(device, duration_s, count=count) for device, count in used)
        figures["embodied_source"] = "; ".join(d.describe(count) for d, count in used)
    devices = [EmbodiedUse(d.device, d.kg_co2e, d.lifetime_years, d.source, count) for d, count in used]
    warnings += _add_sci(figures, settings, counted or {})
    return Account({k: v for k, v in figures.items() if v is not None}, factor, devices, warnings)


def _add_sci(figures: dict[str, Any], settings: CarbonSection, counted: Mapping[str, float | None]) -> list[str]:
    """Add SCI with its R where all of E x I, M and R are known; return why it is absent otherwise."""
    if settings.sci_unit is None:
        return []
    units = settings.sci_units if settings.sci_units is not None else counted.get(settings.sci_unit)
    missing = [
        text
        for text, absent in (
            ("the emissions of its energy are unknown", "co2e_g" not in figures),
            ("the embodied carbon is unknown", "embodied_g" not in figures),
            (f"no {settings.sci_unit} was counted, set sci_units", not units),
        )
        if absent
    ]
    if missing or units is None:
        return [f"[carbon] sci_unit = {settings.sci_unit!r}: no SCI figure, because {' and '.join(missing)}"]
    operational_g = figures["co2e_g"] + figures.get("overhead_g", 0.0)
    figures |= {
        "sci_g": sci(operational_g, figures["embodied_g"], units),
        "sci_units": units,
        "sci_unit": settings.sci_unit,
    }
    return []
