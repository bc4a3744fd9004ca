"""What a reader must know before trusting a figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from greenbench.records import POWER, Trial
from greenbench.report.arms import Setting


@dataclass(frozen=True)
class Warn:
    """One warning and the trials it concerns; ``fault`` marks what spoils a figure."""

    text: str
    where: str = ""
    fault: bool = False


def warnings_of(settings: Iterable[Setting]) -> list[Warn]:
    """Collect everything that a reader must know before trusting a figure, the gravest first."""
    found: dict[tuple[str, bool], list[Trial]] = {}
    settings = list(settings)
    for setting in settings:
        found |= {(note, True): [] for note in setting.notes} | {(note, False): [] for note in setting.remarks}
        for trial in setting.trials:
            for text, fault in _trial_warnings(trial):
                found.setdefault((text, fault), []).append(trial)
    listed = [Warn(text, _where(trials), fault) for (text, fault), trials in found.items()]
    return sorted(listed, key=lambda w: not w.fault)[:60]


def _trial_warnings(trial: Trial) -> Iterable[tuple[str, bool]]:
    if trial.problem:
        yield f"Damaged: {trial.problem}. It is in no mean and no comparison.", True
        return
    result = trial.result
    if result is None:
        yield "Not finished: run the same command again to continue. It is in no mean and no comparison.", True
        return
    if trial.status != "ok":
        yield f"Failed: {trial.error or 'no reason recorded'}", True
    if not trial.valid:
        yield "Marked invalid: its figures are in results.csv, but in no mean and no comparison.", True
    yield from _energy_warnings(trial)
    if result.resumed:
        yield "Resumed after an interruption; what the crash threw away is in energy_wasted_j.", False
    overshoot = trial.figure("budget_overshoot_pct")
    if overshoot is not None and abs(overshoot) > 2:
        yield "Missed its budget by more than 2 %; compare with care.", True
    yield from _load_warnings(trial)
    for text in trial.warnings:
        if not text.startswith("resumed ") and "energy is modelled" not in text:
            yield _sentence(text), False
    for task, reason in result.left_out.items():
        yield f"Task {task} was left out: {reason}", False


def _energy_warnings(trial: Trial) -> Iterable[tuple[str, bool]]:
    kind = trial.energy_kind
    if kind in ("modelled", "mixed"):
        yield (
            f"Energy is {kind}, not measured: it follows a model of load and rated power, and the range is wide.",
            False,
        )
    elif not kind and trial.status == "ok":
        yield "No energy figure: no power source was readable (greenbench doctor says why).", True
    if not (trial.path / POWER).exists():
        yield (
            f"The power journal ({POWER}) is missing: its joules can be neither checked nor computed again.",
            bool(kind),
        )
    if trial.energy.charged:
        yield (
            "Features were reused from the disk; what computing them took is charged to the budget and is part of its "
            "energy (energy_charged_j), not of the total.",
            False,
        )


_BUSY = 1.5
"""A load average above this many runnable processes a core is not the trial's own."""


def machine_load(trial: Trial) -> float | None:
    """The highest load average at the begin or end of the trial's sessions; None where none was recorded.

    A trainer's own threads make up about one a core, and the average of a minute still holds the trial before.
    """
    return max((event.load for event in trial.events if event.load is not None), default=None)


def _load_warnings(trial: Trial) -> Iterable[tuple[str, bool]]:
    load, cores = machine_load(trial), trial.host.cores
    if load is not None and cores and load > _BUSY * cores + 1:
        yield (
            "The machine was busy with other work (its load stands under “All trials”): time, speed, power and what a "
            "budget of seconds buys are not those of a quiet machine.",
            True,
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _where(trials: list[Trial]) -> str:
    names = [t.path.name.rpartition("-")[0] or t.path.name for t in trials]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
