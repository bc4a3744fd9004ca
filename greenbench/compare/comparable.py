"""Which runs may stand in one comparison: same machine, same arithmetic, same data, same budget, same test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from greenbench.config import EvaluateSection
from greenbench.errors import IncomparableError
from greenbench.records import Trial
from greenbench.schema import as_table

_EVALUATION = ("split", "labels", "max_train_seconds", "max_test_seconds", "ctc_beam")
_REMEDY = {
    "hardware.cpu": "run both on one machine",
    "hardware.cores": "run both on one machine with the same cores",
    "hardware.gpu": "run both on the same kind of GPU with the same power limit",
    "device": "run both with the same -o train.device",
    "dtype": "run both with the same -o train.dtype",
    "data_fingerprint": "train both on the same data",
    "evaluate_fingerprint": "score both on the same [evaluate] data",
    "budget": "give both the same [budget]",
    "evaluate": "give both the same [evaluate] limits",
}


def identity(trial: Trial) -> dict[str, object]:
    """Put together what must agree between trials that are pooled or compared; None where the trial does not say."""
    config, on_gpu = trial.config, bool(trial.device) and not trial.device.startswith("cpu")
    evaluate = config.evaluate if config else EvaluateSection()
    return {
        "hardware.cpu": trial.host.cpu or None,
        "hardware.cores": trial.host.cores,
        "hardware.gpu": sorted([str(g.name), g.power_limit_w, g.mig] for g in trial.gpus) if on_gpu else [],
        "device": trial.device or None,
        "dtype": trial.dtype or None,
        "data_fingerprint": trial.data.fingerprint or None,
        "evaluate_fingerprint": trial.scored_data.fingerprint or None,
        "budget": as_table(config.budget) if config else {},
        "evaluate": {key: getattr(evaluate, key) for key in _EVALUATION},
    }


def check_comparable(trials: Sequence[Trial]) -> None:
    """Refuse trials that may not stand in one comparison.

    What an arm sets for itself in ``[models.LABEL.train]`` is what its suite asks about: there it must agree with the
    other trials of its label only.

    Raises:
        IncomparableError: the first key that differs, both values and the remedy.
    """
    first: dict[tuple[str, str], tuple[Trial, object]] = {}
    for trial in trials:
        for key, value in identity(trial).items():
            group = (key, trial.label if key in trial.own_train_keys else "")
            other, wanted = first.setdefault(group, (trial, value))
            if json.dumps(value, sort_keys=True) != json.dumps(wanted, sort_keys=True):
                raise IncomparableError(
                    f"{key} differs: {_show(wanted)} in {other.path} but {_show(value)} in {trial.path}; {_REMEDY[key]}"
                )


def _show(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in value.items()) or "none"
    return "absent" if value is None else str(value)
