"""A folder of audio, with labels where the folder's own tables or names give them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from greenbench.corpora.readers.entry import Entry, Listing, path_id, with_ids
from greenbench.corpora.readers.labels import Labels
from greenbench.corpora.readers.layouts import recognise
from greenbench.corpora.readers.librispeech import transcripts
from greenbench.corpora.readers.lines import read_text
from greenbench.corpora.readers.split_names import split_name, split_of_folders
from greenbench.corpora.readers.suffixes import composed, stem_of
from greenbench.corpora.readers.tables import TABLES, read_table
from greenbench.corpora.readers.tree import Tree, scan_tree
from greenbench.corpora.utterance import LeftOut


def read(argument: str) -> Listing:
    """Read a folder; a layout of a public corpus is recognised and read by its own reader.

    So is a folder below in such a layout. No audio file is passed over in silence: what such a reader does not name is
    left out with a reason.
    """
    root = Path(argument).expanduser()
    tree = scan_tree(root)
    reader = recognise(root)
    if reader is not None:
        return reader(argument)
    listings = _corpora_below(tree)
    inside = [Path(folder) for folder in listings]
    tree.audio = [path for path in tree.audio if not any(path.is_relative_to(folder) for folder in inside)]
    tree.others = [path for path in tree.others if not any(path.is_relative_to(folder) for folder in inside)]
    entries = _with_folder_names([Entry(path=str(path), id=path_id(path, root)) for path in tree.audio], root)
    labels = Labels(root, entries, tree.left_out)
    for table in tree.others:
        if table.name in TABLES:
            labels.add_table(table, read_table(table, tree.left_out))
    for table in sorted(tree.named(".trans.txt")):
        labels.add_transcript(table, transcripts(table, tree.left_out))
    entries = _with_texts(labels.entries(), tree)
    for listing in listings.values():
        entries += listing.entries
        known = {item.path for item in tree.left_out}
        tree.left_out += [item for item in listing.left_out if item.path not in known]
    return Listing(root.resolve().name, with_ids(entries), tuple(tree.left_out))


def _corpora_below(tree: Tree) -> dict[str, Listing]:
    """Public corpora in folders of this one, whose tables say what is for testing, each read by its own reader."""
    found: dict[str, Listing] = {}
    folders = {folder for path in tree.others if path.suffix == ".tsv" for folder in (path.parent, path.parent.parent)}
    for folder in sorted(folders):
        is_below = folder != tree.root and folder.is_relative_to(tree.root)
        if is_below and not any(folder.is_relative_to(known) for known in found):
            reader = recognise(folder)
            if reader is not None:
                found[str(folder)] = reader(str(folder))
    return found


def _with_folder_names(entries: Sequence[Entry], root: Path) -> list[Entry]:
    """Take the split from folders called train, valid or test at any depth, and the speaker from the folder below.

    Without such folders the speaker is the outermost folder that not all files have in common.
    """
    above = [Path(entry.path).relative_to(root).parts[:-1] for entry in entries]
    below = [parts[_last_split(parts) :] for parts in above]
    common = sum(1 for _ in itertools.takewhile(lambda names: len(set(names)) == 1, zip(*below, strict=False)))
    speakers = [parts[common] if len(parts) > common else None for parts in below]
    counts = Counter(speakers)
    # One folder, or a folder for every file, says nothing about who speaks.
    is_known = len(counts) >= 2 and len(entries) >= 2 * len(counts)
    return [
        replace(entry, split=split_of_folders(parts), speaker=composed(speaker) if is_known and speaker else None)
        for entry, parts, speaker in zip(entries, above, speakers, strict=True)
    ]


def _last_split(parts: Sequence[str]) -> int:
    """The number of folders up to the innermost that names a split."""
    return max((depth for depth, name in enumerate(parts, 1) if split_name(name)), default=0)


def _with_texts(entries: Sequence[Entry], tree: Tree) -> list[Entry]:
    """Take the transcript from a ``.txt`` file beside the audio."""
    texts = {composed(str(path.with_suffix(""))): path for path in tree.others if path.suffix == ".txt"}
    result = []
    for entry in entries:
        path = texts.get(composed(stem_of(entry.path))) if entry.text is None else None
        if path is not None:
            text = read_text(path)
            if text is None:
                tree.left_out.append(LeftOut(str(path), "is not UTF-8; its recording has no text"))
            entry = replace(entry, text=(text or "").strip() or None)
        result.append(entry)
    return result
