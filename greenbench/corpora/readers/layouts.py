"""Which public corpus a folder is laid out as, and what of it the corpus' own tables do not name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from greenbench.corpora.readers import common_voice, fairseq, fleurs, librispeech, voxpopuli
from greenbench.corpora.readers.entry import Listing
from greenbench.corpora.readers.tree import Tree, scan_tree
from greenbench.corpora.utterance import LeftOut

_LAYOUTS = (librispeech, common_voice, fleurs, voxpopuli, fairseq)
_LISTED_A_FOLDER = 20


def recognise(root: Path) -> Callable[[str], Listing] | None:
    """The reader of a public corpus' layout, if the folder has one; it lists the audio that it does not name."""
    found = next((layout.read for layout in _LAYOUTS if layout.matches(root)), None)
    return None if found is None else completed(found)


def completed(read: Callable[[str], Listing]) -> Callable[[str], Listing]:
    """A reader that lists, beside what it reads, the audio below its folder that no table names."""

    def read_all(argument: str) -> Listing:
        listing = read(argument)
        root = Path(argument).expanduser()
        if not root.is_dir():
            return listing
        return replace(listing, left_out=(*listing.left_out, *_unnamed(listing, scan_tree(root))))

    return read_all


def _unnamed(listing: Listing, tree: Tree) -> list[LeftOut]:
    """The audio that a corpus' own tables do not name, file by file or, where they are many, by folder."""
    paths = [*(entry.path for entry in listing.entries), *(item.path for item in listing.left_out)]
    listed = {os.path.realpath(path) for path in paths}
    by_folder: dict[Path, list[Path]] = {}
    for path in tree.audio:
        if os.path.realpath(path) not in listed:
            by_folder.setdefault(path.parent, []).append(path)
    found = [item for item in tree.left_out if os.path.realpath(item.path) not in listed]
    for folder, files in by_folder.items():
        if len(files) > _LISTED_A_FOLDER:
            found.append(LeftOut(str(folder), f"holds {len(files)} files that no table names (first {files[0].name})"))
        else:
            found += [LeftOut(str(path), "is named in no table of its corpus") for path in files]
    return found
