"""LibriSpeech's layout: ``subset/speaker/chapter/speaker-chapter-number.flac`` with one ``.trans.txt`` a chapter.

Mini LibriSpeech and the limited sets of Libri-Light have the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from greenbench.corpora.readers.audio import AUDIO_SUFFIXES, audio_files
from greenbench.corpora.readers.entry import Entry, Listing, path_id, short_ids, split_name
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError


def matches(root: Path) -> bool:
    """Return whether all transcripts lie as LibriSpeech's do: ``speaker/chapter/speaker-chapter.trans.txt``.

    A folder in which one transcript lies elsewhere is not in this layout; the folder reader takes those as well.
    """
    root = root.resolve()
    found = [path for depth in range(5) for path in root.glob(f"{'*/' * depth}*.trans.txt")]
    return bool(found) and all(_is_chapter(path) for path in found)


def _is_chapter(path: Path) -> bool:
    return path.name == f"{path.parent.parent.name}-{path.parent.name}.trans.txt"


def read(argument: str) -> Listing:
    """Read a folder in this layout, with one subset or several."""
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: does not exist; give the folder that holds the LibriSpeech subsets")
    return read_subsets(root.resolve().name, [root])


def read_subsets(name: str, folders: list[Path], *, trusted: bool = False) -> Listing:
    """Read several subsets as one corpus. Audio without a line in a transcript is kept, without a text."""
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for folder in folders:
        transcripts = sorted(folder.rglob("*.trans.txt"))
        if not transcripts:
            raise DataError(f"{folder}: holds no *.trans.txt; it is not in LibriSpeech's layout")
        for path in transcripts:
            found, missing = _chapter(path)
            entries += found
            left_out += missing
        named = {entry.path for entry in entries}
        files, unreadable = audio_files(folder)
        entries += [_untranscribed(path, folder) for path in files if str(path) not in named]
        left_out += unreadable
    return Listing(name, short_ids(entries), tuple(left_out), trusted)


def transcripts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name (without suffix) and the text of each line of a ``.trans.txt``; the text may be empty."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, text = line.strip().partition(" ")
        if name:
            yield name, text.strip()


def _chapter(path: Path) -> tuple[list[Entry], list[LeftOut]]:
    entries, left_out = [], []
    names = {p.stem: p for p in path.parent.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES}
    for name, text in transcripts(path):
        audio = names.get(name)
        if audio is None:
            left_out.append(LeftOut(str(path.with_name(name)), f"is named in {path.name} but missing"))
            continue
        speaker = name.partition("-")[0]
        entries.append(
            Entry(str(audio), path_id(audio), split=_split(path), speaker=speaker, language="en", text=text or None)
        )
    return entries, left_out


def _split(path: Path) -> str | None:
    """Return what the subset's folder (train-clean-100) says; it is above the speaker's and the chapter's."""
    return next((found for part in reversed(path.parts[:-3]) if (found := split_name(part))), None)


def _untranscribed(path: Path, root: Path) -> Entry:
    parts = path.stem.split("-")
    in_chapter = parts[:2] == [path.parent.parent.name, path.parent.name]
    above = path.relative_to(root).parts[:-1]
    split = _split(path) if in_chapter else next((found for part in above if (found := split_name(part))), None)
    return Entry(str(path), path_id(path), split=split, speaker=parts[0] if in_chapter else None, language="en")
