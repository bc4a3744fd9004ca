"""Trials whose files are damaged: computed again from their journals where those are whole, else shown as damaged.

Nothing is written: a report only reads run folders. ``greenbench run --resume`` writes a lost result back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from greenbench.errors import DataError
from greenbench.records import OUTCOME, RESULT, Manifest, Trial, load_trial
from greenbench.trial.finish import assemble

_FOLDER = re.compile(r"(?P<label>.+)-s(?P<seed>\d+)-[0-9a-f]{8}")
"""How ``greenbench run`` names a trial's folder: label, seed, hash of the configuration."""


def load_or_show(folder: Path) -> Trial:
    """Load a trial; a damaged one comes back with what is still known of it, its ``problem`` or a warning set."""
    try:
        return load_trial(folder)
    except DataError as error:
        problem = _reason(error)
    try:
        without_result = load_trial(folder, result=False)
    except DataError as error:
        return Trial(folder, _manifest_by_name(folder), problem=_reason(error))
    if not (folder / OUTCOME).exists():
        return replace(without_result, problem=f"{problem}; {OUTCOME} is missing, so nothing can be computed again")
    try:
        rebuilt = assemble(without_result)
    except DataError as error:
        return replace(without_result, problem=f"{problem}; {_reason(error)}")
    if rebuilt.result is None:
        return replace(without_result, problem=problem)
    note = f"{RESULT} was damaged; every figure of this trial was computed again from {OUTCOME} and its journals"
    return replace(rebuilt, result=replace(rebuilt.result, warnings=(note, *rebuilt.result.warnings)))


def _reason(error: DataError) -> str:
    """What is wrong, without the advice to throw the folder away."""
    return str(error).partition("; remove the trial's folder")[0]


def _manifest_by_name(folder: Path) -> Manifest:
    """What a folder's name tells: the arm, so that a lost manifest makes no other model the baseline."""
    named = _FOLDER.fullmatch(folder.name)
    label, seed = (named["label"], int(named["seed"])) if named else (folder.name, 0)
    is_control = label == "logmel" or re.match(r"random(-|$)", label) is not None
    return Manifest(label=label, seed=seed, control=label.replace("-", ":", 1) if is_control else "")
