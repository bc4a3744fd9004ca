"""From run folders to arms: which trials belong together, and which must never be pooled."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from greenbench.errors import ConfigError, IncomparableError, did_you_mean
from greenbench.metrics import METRICS
from greenbench.records import Trial, find_trials


@dataclass(frozen=True, eq=False)
class Arm:
    """All trials of one contestant (or control) under one setting."""

    label: str
    control: str
    index: int
    trials: tuple[Trial, ...]
    _known: dict[str, dict[int, float]] = field(default_factory=dict, repr=False)

    @cached_property
    def counted(self) -> list[Trial]:
        """Return the trials whose figures may be used: finished, not failed and not marked invalid."""
        return [t for t in self.trials if status(t) == "ok" and t.result is not None and t.result.get("valid", True)]

    def values(self, metric: str) -> dict[int, float]:
        """Return the figures by seed; seeds without the figure are missing."""
        if metric not in self._known:
            found = {}
            for trial in self.counted:
                value = number((trial.result or {}).get("row", {}).get(metric))
                if value is not None:
                    found[int(trial.manifest.get("seed", 0))] = value
            self._known[metric] = found
        return self._known[metric]

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, or ``None`` where no trial has the figure."""
        values = list(self.values(metric).values())
        return statistics.fmean(values) if values else None

    def spread(self, metric: str) -> float | None:
        """Return the standard deviation over seeds; it needs two."""
        values = list(self.values(metric).values())
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def energy_kind(self) -> str:
        """Return how the joules came about: ``measured``, ``modelled``, ``mixed`` or empty."""
        kinds = {energy_kind(t) for t in self.counted} - {""}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""

    @property
    def representative(self) -> Trial | None:
        """Return the trial whose energy is nearest to the arm's median: what a timeline shows."""
        trials = self.counted
        if not trials:
            return None
        energies = [number(t.row.get("energy_total_j")) or 0.0 for t in trials]
        middle = statistics.median(energies)
        return min(zip(trials, energies, strict=True), key=lambda pair: abs(pair[1] - middle))[0]


@dataclass(frozen=True, eq=False)
class Setting:
    """Trials that may be compared: one machine, device, dtype, data and budget."""

    machine: dict[str, str]
    keys: dict[str, str]
    suites: tuple[str, ...]
    arms: tuple[Arm, ...]
    baseline: Arm | None
    trials: tuple[Trial, ...] = field(repr=False)
    prefix: str = ""
    """Put before element ids and figure names, so that several settings share one page."""

    @cached_property
    def contestants(self) -> list[Arm]:
        """Return the arms that are no controls."""
        return [arm for arm in self.arms if not arm.control]

    @cached_property
    def controls(self) -> list[Arm]:
        """Return the controls."""
        return [arm for arm in self.arms if arm.control]

    @cached_property
    def own_random(self) -> dict[Arm, Arm]:
        """Return the control with a contestant's own weights as they were drawn, for contestants that have one."""
        models: dict[str, list[Arm]] = {}
        for arm in self.contestants:
            models.setdefault(str(arm.trials[0].manifest.get("label") or ""), []).append(arm)
        found: dict[Arm, Arm] = {}
        for control in self.controls:
            kind, _, of = control.control.partition(":")
            of = of or str((control.trials[0].manifest.get("spec") or {}).get("label") or "")
            fitting = models.get(of, [])
            # A model in several sizes or runs has no single control; seeds of `random` and `random:MODEL` are the same.
            if kind == "random" and len(fitting) == 1:
                found.setdefault(fitting[0], control)
        return found

    @cached_property
    def headline(self) -> str | None:
        """Return the quality metric that most contestants have; the registry's order breaks ties."""
        counts = {
            name: sum(1 for arm in self.contestants or self.arms if arm.values(name))
            for name, metric in METRICS.items()
            if metric.quality
        }
        best = max(counts.values(), default=0)
        return next((name for name, count in counts.items() if count == best and best), None)


def number(value: Any) -> float | None:
    """Return a finite number, or ``None`` for anything else: what is absent never becomes a figure."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def status(trial: Trial) -> str:
    """Return ``ok``, ``failed`` or ``incomplete`` (no result yet)."""
    return str(trial.result.get("status", "ok")) if trial.result else "incomplete"


def energy_kind(trial: Trial) -> str:
    """Return how a trial's joules came about, from its energy summary or its phases."""
    if trial.result is None:
        return ""
    kind = (trial.result.get("energy") or {}).get("total", {}).get("kind")
    if kind:
        return str(kind)
    kinds = {str(p["kind"]) for p in trial.result.get("phases") or [] if p.get("kind")}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""


def machine_of(trial: Trial) -> dict[str, str]:
    """Return what identifies the hardware: GPUs with power limit and MIG, else the processor."""
    host = trial.manifest.get("host") or {}
    gpus = trial.manifest.get("gpu") or []
    return {
        "cpu": str(host.get("cpu") or ""),
        "cores": str(host.get("cores") or ""),
        "gpu": " + ".join(str(g.get("name") or "") for g in gpus) or str(trial.row.get("gpu") or ""),
        "gpu uuid": " + ".join(str(g.get("uuid") or "") for g in gpus),
        "gpu power limit": " + ".join(f"{g['power_limit_w']:g} W" for g in gpus if number(g.get("power_limit_w"))),
        "mig": " + ".join(str(g["mig"]) for g in gpus if g.get("mig")),
    }


def collect(run_dirs: Iterable[Path], *, across_machines: bool = False, baseline: str | None = None) -> list[Setting]:
    """Load run folders and group their trials into settings; each setting may be compared within itself only.

    Raises:
        IncomparableError: the folders come from different hardware and ``across_machines`` is off.
        ConfigError: ``baseline`` is none of the models.
        DataError: a folder is missing, empty or damaged.
    """
    trials = find_trials(run_dirs)
    _same_machine(trials, across_machines=across_machines)
    groups = _grouped(trials)
    names = arm_names(trials)
    order = _order(trials, names)
    labels = {arm for arm, control in order if not control}
    if baseline is not None and baseline not in labels:
        raise ConfigError(f"--baseline {baseline!r} is no model of these runs{did_you_mean(baseline, labels)}")
    return [_setting(group, names, order, baseline, f"s{i}-" if i else "") for i, group in enumerate(groups)]


def _grouped(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Group trials by machine and setting. What a trial does not say (yet) keeps it apart from nobody."""
    keys = {t.path: (*machine_of(t).values(), *_setting_keys(t).values()) for t in trials}
    groups: list[tuple[list[str], list[Trial]]] = []
    for trial in sorted(trials, key=lambda t: keys[t.path].count("")):
        mine = keys[trial.path]
        fitting = (g for g in groups if all(a == b or not a or not b for a, b in zip(mine, g[0], strict=True)))
        group = next(fitting, None)
        if group is None:
            groups.append((list(mine), [trial]))
        else:
            group[0][:] = [a or b for a, b in zip(group[0], mine, strict=True)]
            group[1].append(trial)
    place = {t.path: i for i, t in enumerate(trials)}
    found = [sorted(group, key=lambda t: place[t.path]) for _, group in groups]
    return sorted(found, key=lambda group: place[group[0].path])


def _same_machine(trials: Sequence[Trial], *, across_machines: bool) -> None:
    first = trials[0]
    for trial in trials[1:]:
        for (key, mine), other in zip(machine_of(first).items(), machine_of(trial).values(), strict=True):
            if mine != other and not across_machines:
                raise IncomparableError(
                    f"{first.path} and {trial.path} come from different hardware: {key} is {mine or 'none'!r} and "
                    f"{other or 'none'!r}; report them apart, or side by side with --across-machines"
                )


def budget_of(trial: Trial) -> tuple[str, float | None]:
    """Return the currency and the amount that the trial was given, from its resolved suite."""
    given = (trial.manifest.get("config") or {}).get("budget") or {}
    return next(((str(k), number(v)) for k, v in given.items() if number(v) is not None), ("", None))


def _setting_keys(trial: Trial) -> dict[str, str]:
    manifest = trial.manifest
    kind, limit = budget_of(trial)
    evaluate = (manifest.get("config") or {}).get("evaluate") or {}
    limits = {k: evaluate[k] for k in ("max_train_seconds", "max_test_seconds") if k in evaluate}
    # A control trains nothing, so the precision of training does not set it apart.
    found = {
        "device": trial.row.get("device") or manifest.get("device"),
        "dtype": "" if _control(trial) else trial.row.get("dtype") or manifest.get("dtype"),
        "data_fingerprint": (manifest.get("data") or {}).get("fingerprint"),
        "budget_kind": kind,
        "budget_limit": limit,
        "evaluate": ", ".join(f"{k} {v:g}" for k, v in limits.items()),
    }
    return {key: f"{v:g}" if isinstance(v, float) else str(v or "") for key, v in found.items()}


def arm_names(trials: Sequence[Trial]) -> dict[Path, tuple[str, str]]:
    """Name each trial's arm: ``(label, control)``.

    The label carries the size where one label comes in several, and the run folder where the same label and seed
    were run twice (before and after a change): such trials are different arms and are never pooled.
    """
    plain = {t.path: (str(t.manifest.get("label") or t.manifest.get("control") or "?"), _control(t)) for t in trials}
    sizes: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        sizes.setdefault(plain[trial.path], set()).add(str(trial.manifest.get("size") or ""))
    sized = {}
    for trial in trials:
        label, control = plain[trial.path]
        size = str(trial.manifest.get("size") or "")
        sized[trial.path] = (f"{label} ({size})" if len(sizes[label, control]) > 1 else label, control)
    seen: dict[tuple[Any, ...], int] = {}
    for trial in trials:
        key = (*sized[trial.path], trial.manifest.get("seed"), *_setting_keys(trial).values())
        seen[key] = seen.get(key, 0) + 1
    twice = {key[:2] for key, count in seen.items() if count > 1}
    return {
        t.path: (f"{sized[t.path][0]} @ {t.path.parent.name}", sized[t.path][1])
        if sized[t.path] in twice
        else sized[t.path]
        for t in trials
    }


def _control(trial: Trial) -> str:
    return str(trial.manifest.get("control") or "")


def _order(trials: Sequence[Trial], names: dict[Path, tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Give every arm one place, so that it keeps its colour in all figures: contestants first, then controls."""
    listed: list[str] = []
    for trial in trials:
        entries = ((trial.manifest.get("config") or {}).get("suite") or {}).get("models") or []
        listed += [str(entry).partition("=")[0] for entry in entries]
    place = {label: i for i, label in reversed(list(enumerate(listed)))}
    base = {names[t.path]: str(t.manifest.get("label") or "") for t in trials}
    ranked = sorted(base, key=lambda arm: (bool(arm[1]), place.get(base[arm], len(listed)), arm))
    return {arm: i for i, arm in enumerate(ranked)}


def _setting(
    trials: list[Trial],
    names: dict[Path, tuple[str, str]],
    order: dict[tuple[str, str], int],
    baseline: str | None,
    prefix: str,
) -> Setting:
    arms: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        arms.setdefault(names[trial.path], []).append(trial)
    contestants = sum(1 for _, control in order if not control)
    built = tuple(
        Arm(
            label,
            control,
            order[label, control] - (contestants if control else 0),
            tuple(sorted(arms[label, control], key=lambda t: int(t.manifest.get("seed", 0)))),
        )
        for label, control in sorted(arms, key=order.__getitem__)
    )
    keys = dict(_setting_keys(trials[0]))
    for trial in trials:
        keys.update({key: text for key, text in _setting_keys(trial).items() if text})
    suites = tuple(dict.fromkeys(str(t.manifest.get("suite") or "") for t in trials))
    return Setting(
        machine_of(trials[0]), keys, suites, built, _baseline(built, trials, baseline), tuple(trials), prefix
    )


def _baseline(arms: Sequence[Arm], trials: Sequence[Trial], wanted: str | None) -> Arm | None:
    contestants = {arm.label: arm for arm in arms if not arm.control}
    configured = [str(((t.manifest.get("config") or {}).get("suite") or {}).get("baseline") or "") for t in trials]
    for name in (wanted, *dict.fromkeys(configured), "melhubert"):
        if name and name in contestants:
            return contestants[name]
    # Without a stated baseline the last of the suite's list is the reference that the others are held against.
    return list(contestants.values())[-1] if contestants else None
