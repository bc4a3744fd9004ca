"""What to do next: the command that answers what these runs leave open."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenbench.metrics import METRICS
from greenbench.report.arms import Setting
from greenbench.report.claims import Claims
from greenbench.report.learning import learning_of, learnt_nothing
from greenbench.report.text.amounts import enumeration


@dataclass(frozen=True)
class Step:
    """One thing to do: why, and the command; without a command the text says all."""

    text: str
    command: str = ""


def next_steps(settings: Sequence[Setting], claims: Sequence[Claims]) -> list[Step]:
    """List what would make the report say more, the most telling first; each step once."""
    steps = [step for pair in zip(settings, claims, strict=True) for step in _steps(*pair)]
    return list(dict.fromkeys(steps))


def _steps(setting: Setting, claims: Claims) -> list[Step]:
    folder = _folder(setting)
    steps = []
    if any(not trial.complete for trial in setting.trials):
        steps.append(Step("Finish what is unfinished.", f"greenbench run --resume {folder}"))
    if any(c.verdict == "not enough runs" for c in claims.found.values()):
        seeds = _seeds_needed(claims)
        text = f"Too few seeds to decide; {seeds} of each model can."
        steps.append(Step(text, f"greenbench run --resume {folder} --seeds {seeds}"))
    if learnt_nothing(setting):
        names = enumeration([arm.label for arm in learnt_nothing(setting)], 4)
        kind, limit = setting.keys["budget_kind"], setting.keys["budget_limit"]
        more = f"greenbench run {_suite(setting)} -o budget.{kind}={4 * float(limit):g}" if kind and limit else ""
        steps.append(Step(f"See whether a larger budget teaches {names} anything.", more))
    if setting.contestants and not learning_of(setting):
        text = "No control was scored, so nothing shows whether the models have learnt anything."
        steps.append(Step(text, f'greenbench run --resume {folder} -o \'suite.controls=["logmel", "random:*"]\''))
    if any("modelled" in arm.energy_kind or arm.energy_kind == "mixed" for arm in setting.arms):
        steps.append(
            Step("Energy is modelled: see which sensors this machine has and how to open them.", "greenbench doctor")
        )
    if setting.contestants and not any(arm.values("co2e_g") for arm in setting.contestants):
        steps.append(
            Step("Emissions: name the grid's region.", f"greenbench report {folder} --region FRA --out REPORT")
        )
    return steps


def _seeds_needed(claims: Claims) -> int:
    """The fewest seeds with which the quality metrics of this page can be decided."""
    from greenbench.compare import runs_needed

    quality = {metric for _, metric in claims.found if METRICS[metric].quality}
    return runs_needed(len(quality))


def _folder(setting: Setting) -> str:
    folders = list(dict.fromkeys(trial.path.parent for trial in setting.trials))
    return shlex.quote(str(folders[0])) if len(folders) == 1 else "RUN"


def _suite(setting: Setting) -> str:
    folder = Path(_folder(setting))
    return setting.suites[0] if setting.suites and setting.suites[0] else str(folder / "suite.toml")
