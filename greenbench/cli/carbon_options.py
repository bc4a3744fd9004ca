"""Options that state where electricity and hardware come from: the keys of a suite's ``[carbon]`` for one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from greenbench.config import CarbonSection

Intensity = Annotated[
    float | None, typer.Option("--intensity", metavar="G_PER_KWH", help="Grid intensity in gCO2e/kWh.")
]
HourlyCsv = Annotated[
    Path | None,
    typer.Option("--hourly-csv", metavar="FILE", help="Grid intensity by the hour: datetime,g_per_kwh; UTC."),
]
LiveZone = Annotated[
    str | None,
    typer.Option(
        "--live-zone", metavar="ZONE", help="Ask Electricity Maps (ELECTRICITYMAPS_API_KEY); --region steps in."
    ),
]
Pue = Annotated[float, typer.Option("--pue", help="Facility energy / IT energy; its overhead is a figure apart.")]
EmbodiedDevice = Annotated[
    str | None,
    typer.Option("--embodied", metavar="DEVICE", help="Charge the making of: auto, gpu, server, rack-server."),
]
EmbodiedKg = Annotated[float | None, typer.Option("--embodied-kg", help="Or your own kgCO2e of one device.")]
EmbodiedYears = Annotated[float | None, typer.Option("--embodied-years", help="Its service life.")]
EmbodiedCount = Annotated[float | None, typer.Option("--embodied-count", help="Devices in use; a share is below 1.")]
SciUnit = Annotated[
    str | None, typer.Option("--sci-unit", metavar="NAME", help="R of SCI = (E x I + M) / R: run, or your own.")
]
SciUnits = Annotated[float | None, typer.Option("--sci-units", metavar="N", help="How many of them the command makes.")]


def carbon_settings(**options: Any) -> CarbonSection:
    """The checked settings of the options that were given, by the names of ``[carbon]``'s keys.

    Raises:
        ConfigError: one line that names the key, what was found and what is allowed.
    """
    from greenbench.config import CarbonSection
    from greenbench.errors import ConfigError
    from greenbench.schema import build

    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    given = {key: value for key, value in given.items() if value is not None}
    if given.get("sci_unit") == "run":
        given.setdefault("sci_units", 1.0)
    if "sci_unit" in given and "sci_units" not in given:
        raise ConfigError(f"--sci-unit {given['sci_unit']}: needs --sci-units N; a command counts only: run")
    return build(CarbonSection, given, "greenbench measure")
