"""The recordings to build from: a folder of Ogg Opus files, ``manifest.tsv`` and ``roles.tsv``.

``manifest.tsv`` has the columns path, duration_s, speaker, language, text; ``roles.tsv`` path, role (train, valid,
test) and labelled (``10min+1h``, ``1h``, ``all`` or empty). Both begin with a line of column names.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

ROLES = ("train", "valid", "test")


@dataclass(frozen=True)
class Recording:
    """One utterance of the source; ``budgets`` are the limited label sets it belongs to."""

    path: Path
    id: str
    speaker: str
    text: str
    role: str
    budgets: tuple[str, ...]


def read_source(folder: Path) -> list[Recording]:
    """Return all recordings; raises :class:`ValueError` where roles are missing or a speaker has two."""
    roles = {row["path"]: row for row in _rows(folder / "roles.tsv")}
    recordings = []
    for row in _rows(folder / "manifest.tsv"):
        name = row["path"]
        if name not in roles or roles[name]["role"] not in ROLES:
            raise ValueError(f"{folder / 'roles.tsv'}: {name} has no role of {', '.join(ROLES)}")
        role, labelled = roles[name]["role"], roles[name]["labelled"]
        budgets = tuple(part for part in labelled.split("+") if part and part != "all") if role == "train" else ()
        recordings.append(Recording(folder / name, Path(name).stem, row["speaker"], row["text"], role, budgets))
    for speaker in {r.speaker for r in recordings}:
        if len(found := {r.role for r in recordings if r.speaker == speaker}) > 1:
            raise ValueError(f"{folder / 'roles.tsv'}: speaker {speaker} has the roles {sorted(found)}")
    return recordings


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
