"""Which runs may stand in one comparison: same machine, same arithmetic, same data, same budget, same test sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from greenbench.errors import IncomparableError
from greenbench.records import Trial

_EVALUATION = ("split", "labels", "max_train_seconds", "max_test_seconds", "ctc_beam")
_BEFORE = {"ctc_beam": 1, "split": "test", "labels": ""}
"""What runs did that were made before there was a key for it."""
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


def identity(trial: Trial) -> dict[str, Any]:
    """Return what must agree between trials that are pooled or compared, from the manifest alone."""
    manifest = trial.manifest
    host, config = _table(manifest.get("host")), _table(manifest.get("config"))
    gpus = [g for g in manifest.get("gpu") or () if isinstance(g, Mapping)]
    evaluate = _table(config.get("evaluate"))
    on_gpu = not str(manifest.get("device") or "cpu").startswith("cpu")
    return {
        "hardware.cpu": host.get("cpu"),
        "hardware.cores": host.get("cores"),
        "hardware.gpu": sorted([str(g.get("name")), g.get("power_limit_w"), g.get("mig")] for g in gpus)
        if on_gpu
        else [],
        "device": manifest.get("device"),
        "dtype": manifest.get("dtype"),
        "data_fingerprint": _table(manifest.get("data")).get("fingerprint"),
        "evaluate_fingerprint": _table(manifest.get("evaluate_data") or manifest.get("data")).get("fingerprint"),
        "budget": dict(_table(config.get("budget"))),
        "evaluate": {**_BEFORE, **{key: evaluate[key] for key in _EVALUATION if key in evaluate}},
    }


def check_comparable(trials: Sequence[Trial]) -> None:
    """Raise :class:`IncomparableError` naming the first key that differs, both values and the remedy.

    What an arm sets for itself in ``[models.LABEL.train]`` is what its suite asks about: there it must agree with the
    other trials of its label only.
    """
    first: dict[tuple[str, str], tuple[Trial, Any]] = {}
    for trial in trials:
        own = own_train_keys(trial)
        for key, value in identity(trial).items():
            group = (key, str(trial.manifest.get("label")) if key in own else "")
            other, wanted = first.setdefault(group, (trial, value))
            if json.dumps(value, sort_keys=True) != json.dumps(wanted, sort_keys=True):
                raise IncomparableError(
                    f"{key} differs: {_show(wanted)} in {other.path} but {_show(value)} in {trial.path}; {_REMEDY[key]}"
                )


def own_train_keys(trial: Trial) -> dict[str, Any]:
    """Return the keys of [train] in which a trial's arm differs from its suite, with the arm's values."""
    shared = _table(_table(trial.manifest.get("config")).get("train"))
    own = _table(trial.manifest.get("train"))
    return {key: value for key, value in own.items() if shared.get(key) != value}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in value.items()) or "none"
    return "absent" if value is None else str(value)
