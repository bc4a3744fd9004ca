"""What a reader must know before trusting a figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from greenbench.records import Trial
from greenbench.report.arms import Setting, energy_kind, number, status


@dataclass(frozen=True)
class Warn:
    """One warning and the trials it concerns; ``fault`` marks what spoils a figure."""

    text: str
    where: str = ""
    fault: bool = False


def warnings_of(settings: Iterable[Setting]) -> list[Warn]:
    """Collect everything that a reader must know before trusting a figure, the gravest first."""
    found: dict[tuple[str, bool], list[Trial]] = {}
    for setting in settings:
        for trial in setting.trials:
            for text, fault in _trial_warnings(trial):
                found.setdefault((text, fault), []).append(trial)
    listed = [Warn(text, _where(trials), fault) for (text, fault), trials in found.items()]
    return sorted(listed, key=lambda w: not w.fault)[:60]


def _trial_warnings(trial: Trial) -> Iterable[tuple[str, bool]]:
    result = trial.result
    if result is None:
        yield "Not finished: run the same command again to continue. It is in no mean and no comparison.", True
        return
    if status(trial) != "ok":
        yield f"Failed: {result.get('error') or 'no reason recorded'}", True
    if not result.get("valid", True):
        yield "Marked invalid: its figures are in results.csv, but in no mean and no comparison.", True
    kind = energy_kind(trial)
    if kind in ("modelled", "mixed"):
        yield (
            f"Energy is {kind}, not measured: it follows a model of load and rated power, and the range is wide.",
            False,
        )
    elif not kind and status(trial) == "ok":
        yield "No energy figure: no power source was readable (greenbench doctor says why).", True
    if result.get("resumed"):
        yield "Resumed after an interruption; what the crash threw away is in energy_wasted_j.", False
    if (result.get("energy") or {}).get("charged"):
        yield (
            "Features were reused from the disk; what computing them took is charged to the budget and is part of its "
            "energy (energy_charged_j), not of the total.",
            False,
        )
    overshoot = number(trial.row.get("budget_overshoot_pct"))
    if overshoot is not None and abs(overshoot) > 2:
        yield "Missed its budget by more than 2 %; compare with care.", True
    for text in result.get("warnings") or []:
        if not str(text).startswith("resumed "):
            yield _sentence(str(text)), False
    for task, reason in (result.get("left_out") or {}).items():
        yield f"Task {task} was left out: {reason}", False


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _where(trials: list[Trial]) -> str:
    names = [t.path.name.rpartition("-")[0] or t.path.name for t in trials]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
