"""BoAmps: the open JSON schema for reports of the energy of AI tasks (https://github.com/Boavizta/BoAmps)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenbench.carbon.clouds import LOCATIONS
from greenbench.records import Trial
from greenbench.report.arms import Setting
from greenbench.units import joules_to_kwh

SCHEMA = "0.1"


def boamps(settings: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """One report per finished trial with joules, by file name; absent figures are absent keys."""
    finished = (t for s in settings for t in s.trials if t.status == "ok")
    trials = [t for t in finished if t.figure("energy_total_j") is not None]  # the schema has no report without
    return {f"{trial.path.name}.json": _prune(_report(trial)) for trial in trials}


def _report(trial: Trial) -> dict[str, Any]:
    energy_j, params = trial.figure("energy_total_j"), trial.figure("params")
    return {
        "header": {
            "formatVersion": SCHEMA,
            "reportId": trial.path.name,
            "reportDatetime": _moment(trial),
            "reportStatus": "final",
        },
        "task": {
            "taskStage": "training",
            "taskFamily": "program" if trial.own_code else "speech representation learning",
            "nbRequest": 0,
            "algorithms": [
                {"algorithmName": trial.label}
                if trial.own_code
                else {
                    "trainingType": "selfSupervisedLearning",
                    "algorithmType": "neural network",
                    "algorithmName": trial.label,
                    "framework": "torch",
                    "frameworkVersion": trial.packages.get("torch"),
                    "parametersNumber": None if params is None else params / 1e9,
                }
            ],
            "dataset": [
                {
                    "dataUsage": "input",
                    "dataType": "other" if trial.own_code else "audio",
                    "dataQuantity": trial.data.utterances,
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
                "measurementDateTime": _moment(trial),
            }
        ],
        "system": {"os": trial.host.os},
        "software": {"language": "python", "version": trial.host.python},
        "infrastructure": {
            "infraType": "publicCloud" if ":" in _region(trial) else "other",
            "components": [
                {"componentName": trial.host.cpu, "componentType": "cpu", "nbComponent": 1},
                *({"componentName": gpu.name, "componentType": "gpu", "nbComponent": 1} for gpu in trial.gpus),
            ],
        },
        "environment": _environment(trial),
    }


def _moment(trial: Trial) -> str:
    """When it began, as the schema wants it: ``YYYY-MM-DD HH:MM:SS``, without the zone."""
    return trial.created[:19].replace("T", " ")


def _region(trial: Trial) -> str:
    return trial.factor.region if trial.factor else ""


def _environment(trial: Trial) -> dict[str, Any]:
    """The grid, where its country is known: the schema has no environment without one."""
    provider, _, cloud = _region(trial).partition(":")
    country = LOCATIONS.get((provider, cloud), "") if cloud else provider
    if not country:
        return {}
    intensity = trial.figure("carbon_intensity_g_per_kwh")
    return {"country": country.partition("-")[0], "location": _region(trial), "powerSourceCarbonIntensity": intensity}


def _prune(value: Any) -> Any:
    """Drop absent values and what becomes empty without them."""
    if isinstance(value, dict):
        kept = {key: _prune(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    if isinstance(value, list):
        return [item for item in map(_prune, value) if item not in (None, "", {}, [])]
    return value
