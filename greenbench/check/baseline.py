"""The baseline file: accepted figures, seed by seed, with the machine and the setting they were taken on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenbench.errors import DataError, IncomparableError
from greenbench.metrics import METRICS
from greenbench.records import read_json, write_json
from greenbench.report.arms import Arm, Setting
from greenbench.report.collect import collect

BASELINE_VERSION = 1


@dataclass(frozen=True)
class Series:
    """Figures of one model under one setting: ``values[metric][seed]``."""

    suite: str
    model: str
    size: str
    setting: dict[str, str]
    values: dict[str, dict[int, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        metrics = {name: {str(seed): v for seed, v in seeds.items()} for name, seeds in self.values.items() if seeds}
        return {
            "suite": self.suite,
            "model": self.model,
            "size": self.size,
            "setting": self.setting,
            "metrics": metrics,
        }


@dataclass(frozen=True)
class Baseline:
    """An accepted baseline. ``static[(model, size)]`` holds counted figures by metric."""

    runs: tuple[Series, ...]
    static: dict[tuple[str, str], dict[str, float]]
    path: str = ""

    def series(self, like: Series) -> Series | None:
        """The accepted figures of the same suite, model and size.

        Raises :class:`IncomparableError` when they were taken on other hardware or under another setting; the message
        names the first key that differs.
        """
        for run in self.runs:
            if (run.suite, run.model, run.size) == (like.suite, like.model, like.size):
                _comparable(run, like, self.path)
                return run
        return None


def _comparable(base: Series, new: Series, path: str) -> None:
    for key in sorted(base.setting.keys() | new.setting.keys()):
        mine, other = base.setting.get(key, ""), new.setting.get(key, "")
        if mine != other:
            raise IncomparableError(
                f"{path}: the baseline of {new.model} was taken with {key} {mine or 'none'!r}, these runs with "
                f"{other or 'none'!r}; accept a baseline of this setting with 'greenbench baseline accept'"
            )


def series_of(run_dirs: Iterable[Path]) -> list[Series]:
    """Read run folders into one series per model (controls left out)."""
    settings = collect(run_dirs)
    return [_series(setting, arm) for setting in settings for arm in setting.contestants]


def _series(setting: Setting, arm: Arm) -> Series:
    trial = arm.trials[0]
    # A uuid tells two equal cards of one machine apart; joules of the same model and limit may be held together.
    machine = {key: value for key, value in setting.machine.items() if key != "gpu uuid"}
    keys = {**machine, **setting.keys, "energy kind": arm.energy_kind}
    values = {name: arm.values(name) for name in METRICS}
    return Series(trial.suite, arm.label, trial.size, keys, {name: seeds for name, seeds in values.items() if seeds})


def load_baseline(path: Path) -> Baseline:
    """Load a baseline file; a damaged or newer one is a :class:`DataError`."""
    table = read_json(path)
    version = table.get("schema_version")
    if not isinstance(version, int) or version > BASELINE_VERSION:
        raise DataError(
            f"{path}: schema_version {version!r} is not supported (known: {BASELINE_VERSION}); update greenbench"
        )
    try:
        runs = tuple(
            Series(
                r["suite"],
                r["model"],
                r["size"],
                dict(r["setting"]),
                {m: {int(s): float(v) for s, v in seeds.items()} for m, seeds in r["metrics"].items()},
            )
            for r in table.get("runs", [])
        )
        static = {
            (s["model"], s["size"]): {k: float(v) for k, v in s["metrics"].items()} for s in table.get("static", [])
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: not a baseline file ({error}); write one with 'greenbench baseline accept'"
        ) from error
    return Baseline(runs, static, str(path))


def accept(
    run_dirs: Sequence[Path], out: Path, *, static: Mapping[tuple[str, str], Mapping[str, float]] | None = None
) -> Baseline:
    """Write run folders and static costs as the new baseline; entries of other models in the file stay.

    Raises :class:`DataError` when a run folder holds no finished trial.
    """
    old = load_baseline(out) if out.exists() else Baseline((), {})
    new = series_of(run_dirs) if run_dirs else []
    for series in new:
        if not series.values:
            raise DataError(
                f"{series.suite}/{series.model}: no finished, valid trial to accept; run it to its end first"
            )
    replaced = {(s.suite, s.model, s.size) for s in new}
    runs = [r for r in old.runs if (r.suite, r.model, r.size) not in replaced] + new
    counted = {**old.static, **{key: dict(values) for key, values in (static or {}).items()}}
    entries = [{"model": m, "size": s, "metrics": dict(values)} for (m, s), values in sorted(counted.items())]
    with contextlib.suppress(OSError):  # what is wrong with the folder, writing says
        out.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        out,
        {
            "schema_version": BASELINE_VERSION,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "static": entries,
            "runs": [r.to_dict() for r in sorted(runs, key=lambda r: (r.suite, r.model, r.size))],
        },
    )
    return load_baseline(out)
