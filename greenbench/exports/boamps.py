"""BoAmps: the open JSON schema for reports of the energy of AI tasks (https://github.com/Boavizta/BoAmps)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenbench.records import Trial
from greenbench.report.arms import Setting
from greenbench.units import joules_to_kwh

SCHEMA = "0.1"


def boamps(settings: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """One report per finished trial, by file name; absent figures are absent keys."""
    trials = [t for s in settings for t in s.trials if t.status == "ok"]
    return {f"{trial.path.name}.json": _prune(_report(trial)) for trial in trials}


def _report(trial: Trial) -> dict[str, Any]:
    energy_j = trial.figure("energy_total_j")
    return {
        "header": {
            "formatVersion": SCHEMA,
            "reportId": trial.path.name,
            "reportDatetime": trial.created,
            "reportStatus": "final",
        },
        "task": {
            "taskStage": "training",
            "taskFamily": "speech representation learning",
            "nbRequest": 1,
            "algorithms": [
                {
                    "algorithmType": "selfSupervisedLearning",
                    "algorithmName": trial.label,
                    "framework": "torch",
                    "frameworkVersion": trial.packages.get("torch"),
                    "parametersNumber": trial.figure("params"),
                }
            ],
            "dataset": [
                {
                    "dataUsage": "input",
                    "dataType": "audio",
                    "dataQuantity": trial.data.hours,
                    "sourceUri": trial.data.spec,
                }
            ],
        },
        "measures": [
            {
                "measurementMethod": f"greenbench ({trial.energy_kind or 'unknown'})",
                "version": trial.packages.get("greenbench"),
                "powerConsumption": None if energy_j is None else joules_to_kwh(energy_j),
                "measurementDuration": trial.figure("wall_s"),
                "measurementDateTime": trial.created,
            }
        ],
        "system": {"os": trial.host.os},
        "software": {"language": "python", "version": trial.host.python},
        "infrastructure": {
            "components": [
                {"componentName": trial.host.cpu, "componentType": "cpu", "nbComponent": 1},
                *({"componentName": gpu.name, "componentType": "gpu", "nbComponent": 1} for gpu in trial.gpus),
            ]
        },
        "environment": {
            "country": trial.config.carbon.region if trial.config else None,
            "powerSourceCarbonIntensity": trial.figure("carbon_intensity_g_per_kwh"),
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
