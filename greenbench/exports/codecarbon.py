"""CodeCarbon's ``emissions.csv``: energy in kWh and emissions in kilograms, where greenbench keeps joules and grams."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from greenbench.records import Trial
from greenbench.report.arms import Setting
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
    """One row per finished trial; what greenbench did not record is an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for setting in settings:
        for trial in setting.trials:
            if trial.status == "ok":
                writer.writerow({k: v for k, v in _row(trial).items() if v is not None})
    return buffer.getvalue()


def _row(trial: Trial) -> dict[str, Any]:
    host, gpus = trial.host, trial.gpus
    energy_j, grams, wall_s = (trial.figure(name) for name in ("energy_total_j", "co2e_g", "wall_s"))
    # CodeCarbon's emissions are those of the whole building, PUE included.
    kilograms = None if grams is None else (grams + (trial.figure("overhead_g") or 0.0)) / 1000
    return {
        "timestamp": trial.created[:19] or None,
        "project_name": trial.suite,
        "run_id": trial.path.name,
        "experiment_id": f"{trial.label}-s{trial.seed}",
        "duration": wall_s,
        "emissions": kilograms,
        "emissions_rate": kilograms / wall_s if kilograms is not None and wall_s else None,
        **part_energies(trial),
        "energy_consumed": None if energy_j is None else joules_to_kwh(energy_j),
        "country_iso_code": trial.factor.region or None if trial.factor else None,
        "os": host.os or None,
        "python_version": host.python or None,
        "codecarbon_version": trial.packages.get("codecarbon"),
        "cpu_count": host.cores,
        "cpu_model": host.cpu or None,
        "gpu_count": len(gpus) or None,
        "gpu_model": ", ".join(gpu.name or "" for gpu in gpus) or None,
        "ram_total_size": None if host.memory_bytes is None else host.memory_bytes / 2**30,
        "pue": trial.figure("pue"),
    }


def part_energies(trial: Trial) -> dict[str, float]:
    """``cpu_energy``, ``gpu_energy`` and ``ram_energy`` in kWh, as far as devices of that part were counted."""
    found: dict[str, float] = {}
    for device in trial.energy.total.devices:
        part = _PARTS.get(device.part)
        if part and device.energy_j is not None and device.counted:
            found[part] = found.get(part, 0.0) + device.energy_j
    return {f"{part}_energy": joules_to_kwh(value) for part, value in found.items()}
