"""The audio files below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".w64", ".au", ".caf"})
_WORTH_MENTIONING = frozenset({".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".sph"})


def audio_files(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """Return all audio files below a folder in a stable order, hidden ones passed over, and those of other formats."""
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root}: {found}; give a folder of audio files, for example data = 'folder:recordings'")
    found_files: list[Path] = []
    left_out: list[LeftOut] = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            suffix = Path(name).suffix.lower()
            if suffix in AUDIO_SUFFIXES:
                found_files.append(Path(folder, name))
            elif suffix in _WORTH_MENTIONING:
                reason = f"is {suffix[1:]}, which libsndfile does not read; convert it, for example to flac"
                left_out.append(LeftOut(str(Path(folder, name)), reason))
    return found_files, left_out
