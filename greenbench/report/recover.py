"""Trials whose files are damaged: computed again from their journals where those are whole, else shown as damaged.

Nothing is written: a report only reads run folders. ``greenbench run --resume`` writes a lost result back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from greenbench.errors import DataError
from greenbench.records import OUTCOME, RESULT, Manifest, Trial, load_trial
from greenbench.records.folder_names import read_name
from greenbench.trial.finish import assemble


def load_or_show(folder: Path) -> Trial:
    """Load a trial; a damaged one comes back with what is still known of it, its ``problem`` or a warning set."""
    try:
        return load_trial(folder)
    except DataError as error:
        problem = error.problem
    try:
        without_result = load_trial(folder, result=False)
    except DataError as error:
        return Trial(folder, _manifest_by_name(folder), problem=error.problem)
    if not (folder / OUTCOME).exists():
        return replace(without_result, problem=f"{problem}; {OUTCOME} is missing, so nothing can be computed again")
    try:
        rebuilt = assemble(without_result)
    except DataError as error:
        return replace(without_result, problem=f"{problem}; {error.problem}")
    if rebuilt.result is None:
        return replace(without_result, problem=problem)
    note = f"{RESULT} was damaged; every figure of this trial was computed again from {OUTCOME} and its journals"
    return replace(rebuilt, result=replace(rebuilt.result, warnings=(note, *rebuilt.result.warnings)))


def _manifest_by_name(folder: Path) -> Manifest:
    """What a folder's name tells: the arm, so that a lost manifest makes no other model the baseline."""
    label, seed = read_name(folder.name) or (folder.name, 0)
    is_control = label == "logmel" or re.match(r"random(-|$)", label) is not None
    return Manifest(label=label, seed=seed, control=label.replace("-", ":", 1) if is_control else "")
