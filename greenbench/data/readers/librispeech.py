"""LibriSpeech's layout: ``subset/speaker/chapter/speaker-chapter-number.flac`` with one ``.trans.txt`` a chapter.

Mini LibriSpeech and the limited sets of Libri-Light have the same.
"""

from __future__ import annotations

from pathlib import Path

from greenbench.data.readers.entry import Entry, Listing, path_id, short_ids, split_name
from greenbench.data.utterance import LeftOut
from greenbench.errors import DataError


def matches(root: Path) -> bool:
    """Return whether transcripts lie where LibriSpeech has them."""
    return any(next(root.glob(f"{'*/' * depth}*.trans.txt"), None) is not None for depth in (2, 3, 4))


def read(argument: str) -> Listing:
    """Read a folder in this layout, with one subset or several."""
    root = Path(argument).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: does not exist; give the folder that holds the LibriSpeech subsets")
    return read_subsets(root.resolve().name, [root])


def read_subsets(name: str, folders: list[Path], *, trusted: bool = False) -> Listing:
    """Read several subsets as one corpus."""
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
    return Listing(name, short_ids(entries), tuple(left_out), trusted)


def _chapter(path: Path) -> tuple[list[Entry], list[LeftOut]]:
    entries, left_out = [], []
    names = {p.stem: p for p in path.parent.iterdir() if p.suffix.lower() in (".flac", ".wav", ".opus", ".mp3")}
    # The subset's folder (train-clean-100) is above the speaker's and the chapter's.
    split = next((found for part in reversed(path.parts[:-3]) if (found := split_name(part))), None)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        audio = names.get(name)
        if audio is None:
            left_out.append(LeftOut(str(path.with_name(name)), f"is named in {path.name} but missing"))
            continue
        speaker = name.partition("-")[0]
        entries.append(
            Entry(str(audio), path_id(audio), split=split, speaker=speaker, language="en", text=text.strip() or None)
        )
    return entries, left_out
