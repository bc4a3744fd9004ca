"""BoAmps: the open JSON schema for reports of the energy of AI tasks (https://github.com/Boavizta/BoAmps)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenbench.records import Trial
from greenbench.report.arms import Setting, energy_kind, number, status
from greenbench.units import joules_to_kwh

SCHEMA = "0.1"


def boamps(settings: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """Return one report per finished trial, by file name; absent figures are absent keys."""
    trials = [t for s in settings for t in s.trials if status(t) == "ok"]
    return {f"{trial.path.name}.json": _prune(_report(trial)) for trial in trials}


def _report(trial: Trial) -> dict[str, Any]:
    manifest, row = trial.manifest, trial.row
    host, packages, data = (manifest.get(k) or {} for k in ("host", "packages", "data"))
    energy_j, wall_s, params = (number(row.get(k)) for k in ("energy_total_j", "wall_s", "params"))
    return {
        "header": {
            "formatVersion": SCHEMA,
            "reportId": trial.path.name,
            "reportDatetime": manifest.get("created"),
            "reportStatus": "final",
        },
        "task": {
            "taskStage": "training",
            "taskFamily": "speech representation learning",
            "nbRequest": 1,
            "algorithms": [
                {
                    "algorithmType": "selfSupervisedLearning",
                    "algorithmName": manifest.get("label"),
                    "framework": "torch",
                    "frameworkVersion": packages.get("torch"),
                    "parametersNumber": params,
                }
            ],
            "dataset": [
                {
                    "dataUsage": "input",
                    "dataType": "audio",
                    "dataQuantity": number(data.get("hours")),
                    "sourceUri": data.get("spec"),
                }
            ],
        },
        "measures": [
            {
                "measurementMethod": f"greenbench ({energy_kind(trial) or 'unknown'})",
                "version": packages.get("greenbench"),
                "powerConsumption": None if energy_j is None else joules_to_kwh(energy_j),
                "measurementDuration": wall_s,
                "measurementDateTime": manifest.get("created"),
            }
        ],
        "system": {"os": host.get("os")},
        "software": {"language": "python", "version": host.get("python")},
        "infrastructure": {
            "components": [
                {"componentName": host.get("cpu"), "componentType": "cpu", "nbComponent": 1},
                *(
                    {"componentName": g.get("name"), "componentType": "gpu", "nbComponent": 1}
                    for g in manifest.get("gpu") or []
                ),
            ]
        },
        "environment": {
            "country": ((manifest.get("config") or {}).get("carbon") or {}).get("region"),
            "powerSourceCarbonIntensity": number(row.get("carbon_intensity_g_per_kwh")),
        },
    }


def _prune(value: Any) -> Any:
    """Drop absent values and what becomes empty without them."""
    if isinstance(value, dict):
        kept = {key: _prune(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    if isinstance(value, list):
        return [item for item in map(_prune, value) if item not in (None, "", {}, [])]
    return value
