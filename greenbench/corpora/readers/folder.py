"""A folder of audio, with labels where the folder's own tables or names give them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from greenbench.corpora.readers.audio import audio_files
from greenbench.corpora.readers.entry import Entry, Listing, path_id, short_ids, split_name
from greenbench.corpora.readers.layouts import recognise
from greenbench.corpora.readers.librispeech import transcripts
from greenbench.corpora.readers.tables import find_tables, read_table
from greenbench.corpora.utterance import LeftOut

_LISTED_A_FOLDER = 20


def read(argument: str) -> Listing:
    """Read a folder; a layout of a public corpus is recognised and read by its own reader.

    No audio file is passed over in silence: what such a reader does not name is left out with a reason.
    """
    root = Path(argument).expanduser()
    files, left_out = audio_files(root)
    reader = recognise(root)
    if reader is not None:
        listing = reader(argument)
        return replace(listing, left_out=(*listing.left_out, *_unnamed(listing, files, left_out)))
    entries = _with_folder_names([Entry(path=str(path), id=path_id(path, root)) for path in files], root)
    for table in find_tables(root):
        entries, missing = _with_table(entries, table)
        left_out += missing
    entries, missing = _with_transcripts(entries, root)
    left_out += missing
    return Listing(root.resolve().name, short_ids(_with_texts(entries)), tuple(left_out))


def _unnamed(listing: Listing, files: list[Path], unreadable: list[LeftOut]) -> list[LeftOut]:
    """List the audio that a corpus' own tables do not name, file by file or, where they are many, by folder."""
    listed = {os.path.realpath(path) for path in (*(e.path for e in listing.entries), *_paths(listing.left_out))}
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        if os.path.realpath(path) not in listed:
            by_folder.setdefault(path.parent, []).append(path)
    found = [item for item in unreadable if os.path.realpath(item.path) not in listed]
    for folder, paths in by_folder.items():
        if len(paths) > _LISTED_A_FOLDER:
            found.append(LeftOut(str(folder), f"holds {len(paths)} files that no table names (first {paths[0].name})"))
        else:
            found += [LeftOut(str(path), "is named in no table of its corpus") for path in paths]
    return found


def _paths(items: Iterable[LeftOut]) -> list[str]:
    return [item.path for item in items]


def _with_transcripts(entries: list[Entry], root: Path) -> tuple[list[Entry], list[LeftOut]]:
    """Add the texts of ``.trans.txt`` files, which name the audio beside them without its suffix."""
    by_name = {str(Path(entry.path).with_suffix("")): i for i, entry in enumerate(entries)}
    left_out = []
    for table in sorted(root.rglob("*.trans.txt")):
        for name, text in transcripts(table):
            index = by_name.get(str(table.with_name(name)))
            if index is None:
                left_out.append(LeftOut(str(table.with_name(name)), f"is named in {table.name} but missing"))
            elif entries[index].text is None:
                entries[index] = replace(entries[index], text=text or None)
    return entries, left_out


def _with_folder_names(entries: list[Entry], root: Path) -> list[Entry]:
    """Take the split from folders called train, valid or test, and the speaker from the folder below."""
    result = []
    for entry in entries:
        parts = list(Path(entry.path).relative_to(root).parts[:-1])
        split = split_name(parts[0]) if parts else None
        if split is not None:
            parts = parts[1:]
        result.append(replace(entry, split=split, speaker=parts[0] if parts else None))
    folders = Counter(entry.speaker for entry in result)
    # One folder, or a folder for every file, says nothing about who speaks.
    if len(folders) < 2 or len(result) < 2 * len(folders):
        result = [replace(entry, speaker=None) for entry in result]
    return result


def _with_table(entries: list[Entry], table: Path) -> tuple[list[Entry], list[LeftOut]]:
    """Add the columns of ``metadata.csv`` or ``manifest.tsv``; a row whose file is missing is left out and listed."""
    by_path = {os.path.normpath(entry.path): i for i, entry in enumerate(entries)}
    # The audio may have been converted since the table was written.
    by_path_without_suffix = {str(Path(path).with_suffix("")): i for path, i in by_path.items()}
    # Some tables name the recording without folder and suffix (LJSpeech's metadata.csv).
    by_stem = {Path(entry.path).stem: i for i, entry in enumerate(entries)}
    left_out = []
    for row in read_table(table):
        named = os.path.normpath(table.parent / row.path)
        index = by_path.get(named)
        if index is None:
            index = by_path_without_suffix.get(str(Path(named).with_suffix("")))
        if index is None and not Path(row.path).suffix:
            index = by_stem.get(row.path)
        if index is None:
            left_out.append(LeftOut(str(table.parent / row.path), f"is named in {table.name} but missing"))
            continue
        entries[index] = replace(entries[index], **{k: v for k, v in row.labels.items() if v is not None})
    return entries, left_out


def _with_texts(entries: list[Entry]) -> list[Entry]:
    """Take the transcript from a ``.txt`` file beside the audio."""
    result = []
    names: dict[Path, set[str]] = {}
    for entry in entries:
        path = Path(entry.path).with_suffix(".txt")
        if path.parent not in names:
            names[path.parent] = {p.name for p in path.parent.glob("*.txt")}
        if entry.text is None and path.name in names[path.parent]:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            entry = replace(entry, text=text or None)
        result.append(entry)
    return result
