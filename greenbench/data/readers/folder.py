"""A folder of audio, with labels where the folder's own tables or names give them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from greenbench.data.readers.entry import SPLIT_NAMES, Entry, Listing, relative_id, short_ids
from greenbench.data.readers.tables import find_table, read_table
from greenbench.data.utterance import LeftOut
from greenbench.errors import DataError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".w64", ".au", ".caf"})


def audio_files(root: Path) -> list[Path]:
    """Return all audio files below a folder, hidden ones left out, in a stable order."""
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root}: {found}; give a folder of audio files, for example data = 'folder:recordings'")
    found_files: list[Path] = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(folder, name) for name in sorted(files) if not name.startswith("."))
        found_files += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    return found_files


def read(argument: str) -> Listing:
    """Read a folder; a layout of a public corpus is recognised and read by its own reader."""
    from greenbench.data.readers import recognise

    root = Path(argument).expanduser()
    files = audio_files(root)
    reader = recognise(root)
    if reader is not None:
        return reader(str(root))
    entries = [Entry(path=str(path), id=relative_id(path, root)) for path in files]
    entries = _with_folder_names(entries, root)
    left_out: list[LeftOut] = []
    table = find_table(root)
    if table is not None:
        entries, left_out = _with_table(entries, table, root)
    return Listing(root.resolve().name, tuple(short_ids(_with_texts(entries))), tuple(left_out))


def _with_folder_names(entries: list[Entry], root: Path) -> list[Entry]:
    """Take the split from folders called train, valid or test, and the speaker from the folder below."""
    result = []
    for entry in entries:
        parts = list(Path(entry.path).relative_to(root).parts[:-1])
        split = SPLIT_NAMES.get(parts[0].lower()) if parts else None
        if split is not None:
            parts = parts[1:]
        result.append(replace(entry, split=split, speaker=parts[0] if parts else None))
    folders = Counter(entry.speaker for entry in result)
    # One folder, or a folder for every file, says nothing about who speaks.
    if len(folders) < 2 or len(result) < 2 * len(folders):
        result = [replace(entry, speaker=None) for entry in result]
    return result


def _with_table(entries: list[Entry], table: Path, root: Path) -> tuple[list[Entry], list[LeftOut]]:
    """Add the columns of ``metadata.csv`` or ``manifest.tsv``; a row whose file is missing is left out and listed."""
    by_path = {os.path.normpath(entry.path): i for i, entry in enumerate(entries)}
    by_stem = {entry.id: i for i, entry in enumerate(entries)}
    left_out = []
    for row in read_table(table):
        index = by_path.get(os.path.normpath(table.parent / row.path))
        if index is None:
            index = by_stem.get(row.path)
        if index is None:
            left_out.append(LeftOut(str(table.parent / row.path), f"is named in {table.name} but missing"))
            continue
        entry = entries[index]
        entries[index] = replace(entry, **{k: v for k, v in row.labels.items() if v is not None})
    return entries, left_out


def _with_texts(entries: list[Entry]) -> list[Entry]:
    """Take the transcript from a ``.txt`` file beside the audio."""
    result = []
    folders: dict[str, set[str]] = {}
    for entry in entries:
        if entry.text is None:
            path = Path(entry.path).with_suffix(".txt")
            names = folders.setdefault(str(path.parent), {p.name for p in path.parent.glob("*.txt")})
            if path.name in names:
                text = path.read_text(encoding="utf-8", errors="replace").strip()
                entry = replace(entry, text=text or None)  # noqa: PLW2901 - a completed copy
        result.append(entry)
    return result
