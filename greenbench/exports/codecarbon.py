"""CodeCarbon's ``emissions.csv``: energy in kWh and emissions in kilograms, where greenbench keeps joules and grams."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from greenbench.records import Trial
from greenbench.report.arms import Setting, number, status
from greenbench.units import joules_to_kwh

# The columns of CodeCarbon 3.3's file output, in its order.
COLUMNS = (
    "timestamp",
    "project_name",
    "run_id",
    "experiment_id",
    "duration",
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
    "os",
    "python_version",
    "codecarbon_version",
    "cpu_count",
    "cpu_model",
    "gpu_count",
    "gpu_model",
    "longitude",
    "latitude",
    "ram_total_size",
    "tracking_mode",
    "on_cloud",
    "pue",
    "wue",
)
_PARTS = {"cpu": "cpu", "package": "cpu", "gpu": "gpu", "dram": "ram", "ram": "ram"}


def codecarbon_csv(settings: Sequence[Setting]) -> str:
    """Return one row per finished trial; what greenbench did not record is an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for setting in settings:
        for trial in setting.trials:
            if status(trial) == "ok":
                writer.writerow({k: v for k, v in _row(trial).items() if v is not None})
    return buffer.getvalue()


def _row(trial: Trial) -> dict[str, Any]:
    manifest, row = trial.manifest, trial.row
    host = manifest.get("host") or {}
    energy_j, grams, wall_s = (number(row.get(k)) for k in ("energy_total_j", "co2e_g", "wall_s"))
    # CodeCarbon's emissions are those of the whole building, PUE included.
    kilograms = None if grams is None else (grams + (number(row.get("overhead_g")) or 0.0)) / 1000
    gpus = manifest.get("gpu") or []
    memory = number(host.get("memory_bytes"))
    return {
        "timestamp": str(manifest.get("created") or "")[:19] or None,
        "project_name": manifest.get("suite"),
        "run_id": trial.path.name,
        "experiment_id": f"{manifest.get('label')}-s{manifest.get('seed')}",
        "duration": wall_s,
        "emissions": kilograms,
        "emissions_rate": kilograms / wall_s if kilograms is not None and wall_s else None,
        **part_energies(trial),
        "energy_consumed": None if energy_j is None else joules_to_kwh(energy_j),
        "country_iso_code": ((manifest.get("config") or {}).get("carbon") or {}).get("region"),
        "os": host.get("os"),
        "python_version": host.get("python"),
        "codecarbon_version": (manifest.get("packages") or {}).get("codecarbon"),
        "cpu_count": host.get("cores"),
        "cpu_model": host.get("cpu"),
        "gpu_count": len(gpus) or None,
        "gpu_model": ", ".join(str(g.get("name")) for g in gpus) or None,
        "ram_total_size": None if memory is None else memory / 2**30,
        "pue": number(row.get("pue")),
    }


def part_energies(trial: Trial) -> dict[str, float]:
    """Return ``cpu_energy``, ``gpu_energy`` and ``ram_energy`` in kWh, as far as devices of that part were counted."""
    devices = ((trial.result or {}).get("energy") or {}).get("total", {}).get("devices") or []
    found: dict[str, float] = {}
    for device in devices:
        part = _PARTS.get(str(device.get("part")))
        value = number(device.get("energy_j"))
        if part and value is not None and device.get("counted", True):
            found[part] = found.get(part, 0.0) + value
    return {f"{part}_energy": joules_to_kwh(value) for part, value in found.items()}
