"""Carbon factors and CPU powers as files of ours, out of the data that CodeCarbon publishes (MIT licence).

    pip install codecarbon && python data/build_tables.py

Writes ``regions.json`` and ``cpu_tdp.csv`` to ``greenbench/tables`` with CodeCarbon's version, the date of that
release's data and the hashes of the files read. Figures are copied, never changed: what reads them converts.
"""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

TABLES = Path(__file__).resolve().parents[1] / "greenbench" / "tables"
MIX = ("coal_TWh", "oil_TWh", "gas_TWh", "biofuel_TWh", "solar_TWh", "hydroelectricity_TWh", "wind_TWh", "nuclear_TWh")
CANADA = ("coal", "petroleum", "naturalGas", "biomass", "solar", "hydro", "wind", "nuclear", "tidal", "other")
FILES = {
    "countries": "private_infra/global_energy_mix.json",
    "usa": "private_infra/2023/usa_emissions.json",
    "canada": "private_infra/2023/canada_energy_mix.json",
    "china": "private_infra/2023/china_provincial_emissions.json",
    "nordic": "private_infra/nordic_emissions.json",
    "clouds": "cloud/impact.csv",
}
CPUS = "hardware/cpu_power.csv"


def codecarbon_folder() -> Path:
    """The data folder of the installed CodeCarbon, which is not imported."""
    return Path(str(distribution("codecarbon").locate_file("codecarbon/data")))


def regions(data: Path) -> dict[str, Any]:
    """The regions' figures in the units of their sources: gCO2e/kWh, TWh by source, percent, lb/MWh."""
    raw = {name: (data / path).read_text(encoding="utf-8-sig") for name, path in FILES.items()}
    tables = {name: json.loads(text) for name, text in raw.items() if name != "clouds"}
    states = {name: row for name, row in tables["usa"].items() if not name.startswith("_")}
    keep = ("provider", "region", "impact", "source")
    return {
        "countries": {
            code: {"year": row["year"], "g_per_kwh": row.get("carbon_intensity"), **{k: row.get(k) or 0 for k in MIX}}
            for code, row in tables["countries"].items()
        },
        "usa_lb_per_mwh": {r["regionCode"]: r["emissions"] for r in states.values() if len(r["regionCode"]) == 2},
        "canada_pct": {name: {k: row.get(k) or 0 for k in CANADA} for name, row in tables["canada"].items()},
        "china": {
            code.removeprefix("CN-"): {"year": row["year"], "g_per_kwh": row["emission_factor"]}
            for code, row in tables["china"]["data"].items()
        },
        "nordic": {
            zone: {"year": row.get("year"), "g_per_kwh": row["emission_factor"]}
            for zone, row in tables["nordic"]["data"].items()
        },
        "clouds": [{k: row[k] for k in keep} for row in csv.DictReader(raw["clouds"].splitlines())],
    }


def origin(data: Path) -> dict[str, Any]:
    """Where the figures come from: version, date of the release's files, and their hashes."""
    paths = [*FILES.values(), CPUS]
    return {
        "source": "CodeCarbon, codecarbon/data (MIT licence, LICENSE-codecarbon)",
        "version": distribution("codecarbon").version,
        "built": datetime.now(UTC).date().isoformat(),
        "sha256": {path: hashlib.sha256((data / path).read_bytes()).hexdigest() for path in paths},
    }


def main() -> None:
    """Write both tables."""
    data = codecarbon_folder()
    found = {"origin": origin(data), **regions(data)}
    lines = (f"{json.dumps(key)}: {_block(value)}" for key, value in found.items())
    (TABLES / "regions.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    (TABLES / "cpu_tdp.csv").write_bytes((data / CPUS).read_bytes())


def _block(value: Any) -> str:
    """One entry a line, so that an update shows which figures have moved."""
    items = value if isinstance(value, list) else [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
    text = ",\n ".join(item if isinstance(item, str) else json.dumps(item) for item in items)
    return f"[\n {text}\n]" if isinstance(value, list) else f"{{\n {text}\n}}"


if __name__ == "__main__":
    main()
