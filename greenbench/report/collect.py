"""From run folders to settings: which trials belong together, and which must never be pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from greenbench.config import EvaluateSection
from greenbench.errors import ConfigError, IncomparableError, did_you_mean
from greenbench.records import Trial, trial_folders
from greenbench.report.afterwards import Afterwards
from greenbench.report.arms import Arm, Setting
from greenbench.report.recover import load_or_show


def collect(
    run_dirs: Iterable[Path],
    *,
    across_machines: bool = False,
    baseline: str | None = None,
    afterwards: Afterwards | None = None,
) -> list[Setting]:
    """Load run folders and group their trials into settings; each setting may be compared within itself only.

    Raises:
        IncomparableError: the folders come from different hardware and ``across_machines`` is off.
        ConfigError: ``baseline`` is none of the models, or ``afterwards`` names an unknown region.
        DataError: a folder is missing or holds no trial. Damaged trials are no error: they are marked as such.
    """
    given = list(run_dirs)
    afterwards = afterwards or Afterwards()
    trials = afterwards.applied([load_or_show(folder) for folder in trial_folders(given)])
    _same_machine([t for t in trials if not t.problem], across_machines=across_machines)
    groups = _grouped(trials)
    names = arm_names(trials)
    order = _order(trials, names)
    labels = {arm for arm, control in order if not control}
    if baseline is not None and baseline not in labels:
        raise ConfigError(f"--baseline {baseline!r} is no model of these runs{did_you_mean(baseline, labels)}")
    twice, remarks = _given_twice(given), (afterwards.note(),) if afterwards.stated else ()
    settings = [
        _setting(group, names, order, baseline, notes=() if i else twice, prefix=f"s{i}-" if i else "")
        for i, group in enumerate(groups)
    ]
    return [replace(setting, remarks=remarks) for setting in settings]


def _given_twice(given: Sequence[Path]) -> tuple[str, ...]:
    """Say which folders were named more than once, or within another that was named, too."""
    whole = [path.resolve() for path in given]
    twice = {path for i, path in enumerate(whole) if path in whole[:i] or path.parent in whole}
    names = ", ".join(sorted(path.name for path in twice))
    return (f"Given more than once, counted once: {names}.",) if twice else ()


def _grouped(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Group trials by machine and setting. What a trial does not say (yet) keeps it apart from nobody."""
    keys = {t.path: (*t.machine.values(), *_setting_keys(t).values()) for t in trials}
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
    for trial in trials:
        first = trials[0]
        for (key, mine), other in zip(first.machine.items(), trial.machine.values(), strict=True):
            if mine != other and not across_machines:
                raise IncomparableError(
                    f"{first.path} and {trial.path} come from different hardware: {key} is {mine or 'none'!r} and "
                    f"{other or 'none'!r}; report them apart, or side by side with --across-machines"
                )


def _setting_keys(trial: Trial) -> dict[str, str]:
    kind, limit = trial.budget
    evaluate = trial.config.evaluate if trial.config else None
    # A control trains nothing, so the precision of training does not set it apart.
    return {
        "device": trial.text("device") or trial.device,
        "dtype": "" if trial.control else trial.text("dtype") or trial.dtype,
        "data_fingerprint": trial.data.fingerprint,
        "budget_kind": kind,
        "budget_limit": "" if limit is None else f"{limit:g}",
        "evaluate": _scored_with(evaluate) if evaluate else "",
    }


def _scored_with(evaluate: EvaluateSection) -> str:
    """Which labels and which split score the trial."""
    chosen = {"split": evaluate.split, "labels": evaluate.labels}
    limits = {name: f"{getattr(evaluate, name):g}" for name in ("max_train_seconds", "max_test_seconds")}
    return ", ".join(f"{name} {value}" for name, value in (chosen | limits).items() if value)


def arm_names(trials: Sequence[Trial]) -> dict[Path, tuple[str, str]]:
    """Name each trial's arm: ``(label, control)``.

    The label carries the size where one label comes in several, and the run folder where the same label and seed
    were run twice (before and after a change): such trials are different arms and are never pooled.
    """
    plain = {t.path: (t.label or t.control or "?", t.control) for t in trials}
    sizes: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        sizes.setdefault(plain[trial.path], set()).update({trial.size} - {""})
    sized = {}
    for trial in trials:
        label, control = plain[trial.path]
        sized[trial.path] = (f"{label} ({trial.size})" if len(sizes[label, control]) > 1 else label, control)
    seen: dict[tuple[str, ...], int] = {}
    for trial in trials:
        key = (*sized[trial.path], str(trial.seed), *_setting_keys(trial).values())
        seen[key] = seen.get(key, 0) + 1
    twice = {key[:2] for key, count in seen.items() if count > 1}
    return {
        t.path: (f"{sized[t.path][0]} @ {t.path.parent.name}", sized[t.path][1])
        if sized[t.path] in twice
        else sized[t.path]
        for t in trials
    }


def _order(trials: Sequence[Trial], names: dict[Path, tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Give every arm one place, so that it keeps its colour in all figures: contestants first, then controls."""
    listed = [label for trial in trials for label in trial.listed_models]
    place = {label: i for i, label in reversed(list(enumerate(listed)))}
    base = {names[trial.path]: trial.label for trial in trials}
    ranked = sorted(base, key=lambda arm: (bool(arm[1]), place.get(base[arm], len(listed)), arm))
    return {arm: i for i, arm in enumerate(ranked)}


def _setting(
    trials: list[Trial],
    names: dict[Path, tuple[str, str]],
    order: dict[tuple[str, str], int],
    wanted: str | None,
    *,
    notes: tuple[str, ...],
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
            tuple(sorted(arms[label, control], key=lambda trial: trial.seed)),
        )
        for label, control in sorted(arms, key=order.__getitem__)
    )
    keys = dict(_setting_keys(trials[0]))
    for trial in trials:
        keys.update({key: text for key, text in _setting_keys(trial).items() if text})
    suites = tuple(dict.fromkeys(trial.suite for trial in trials if trial.suite))
    machine = next((trial.machine for trial in trials if not trial.problem), trials[0].machine)
    baseline, note = _baseline(built, trials, wanted)
    return Setting(machine, keys, suites, built, baseline, tuple(trials), prefix, (*notes, *note))


DEFAULT_BASELINE = "melhubert"


def _baseline(arms: Sequence[Arm], trials: Sequence[Trial], wanted: str | None) -> tuple[Arm | None, tuple[str, ...]]:
    """Choose the baseline; where it is not the one that was stated, or of no use, a note says so."""
    contestants = {arm.label: arm for arm in arms if not arm.control}
    suites = [trial.config.suite for trial in trials if trial.config]
    stated = [suite.baseline for suite in suites if suite.baseline]
    stated += [DEFAULT_BASELINE for suite in suites if DEFAULT_BASELINE in suite.labels]
    candidates = [name for name in (wanted, *stated, DEFAULT_BASELINE) if name]
    # Without a stated baseline the last of the suite's list is the reference that the others are held against.
    chosen = next((name for name in candidates if name in contestants), next(reversed(contestants), None))
    if chosen is None:
        return None, ()
    arm = contestants[chosen]
    if len(contestants) == 1:
        return arm, ()
    if (wanted or stated) and candidates[0] not in (chosen, arm.trials[0].label):
        return arm, (f"The baseline {candidates[0]} is not among these runs; {chosen} stands in for it.",)
    return arm, () if arm.counted else (f"The baseline {chosen} has no usable trial: nothing is held against it.",)
