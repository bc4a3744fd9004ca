"""Labels from the tables and transcripts of a folder, given to the recordings that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import Entry
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import most_protected
from greenbench.corpora.readers.suffixes import composed, stem_of
from greenbench.corpora.readers.tables import Row
from greenbench.corpora.utterance import LeftOut


class Labels:
    """Collects what tables say about the files of a folder; what they say about no file, or twice, is listed."""

    def __init__(self, root: Path, entries: Sequence[Entry], left_out: list[LeftOut]) -> None:
        self._root, self._entries, self._left_out = root, list(entries), left_out
        self._names = Names()
        self._index = {entry.path: i for i, entry in enumerate(entries)}
        self._rows: dict[int, list[tuple[Path, Row]]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for i, entry in enumerate(entries):
            self._by_stem.setdefault(composed(stem_of(Path(entry.path).name)), []).append(i)

    def add_table(self, table: Path, rows: Iterable[Row]) -> None:
        """Take the rows of a table whose paths start at its folder."""
        for row in rows:
            try:
                index = self._find(row.path, table.parent)
            except NotFoundError as error:
                self._left_out.append(LeftOut(str(table.parent / row.path), error.of_row(table.name)))
            else:
                self._rows.setdefault(index, []).append((table, row))

    def add_transcript(self, table: Path, lines: Iterable[tuple[str, str]]) -> None:
        """Take the lines of a ``.trans.txt``, which names the audio beside it."""
        for name, text in lines:
            try:
                index = self._index_of(self._names.find(name, table.parent, within=self._root))
            except NotFoundError as error:
                self._left_out.append(LeftOut(str(table.with_name(name)), error.of_row(table.name)))
                continue
            if not any(row.labels.get("text") for _, row in self._rows.get(index, [])):
                self._rows.setdefault(index, []).append((table, Row(name, {"text": text or None})))

    def _find(self, name: str, folder: Path) -> int:
        try:
            return self._index_of(self._names.find(name, folder, within=self._root))
        except NotFoundError as error:
            # Some tables name the recording without folder and suffix (LJSpeech's metadata.csv).
            found = (
                self._by_stem.get(composed(stem_of(name)), []) if "/" not in name and str(error) == "is missing" else []
            )
            if len(found) == 1:
                return found[0]
            if found:
                paths = " or ".join(os.path.relpath(self._entries[i].path, self._root) for i in found[:3])
                raise NotFoundError(f"can mean {paths}; write its folder too") from error
            raise

    def _index_of(self, path: str) -> int:
        index = self._index.get(path)
        if index is None:
            real = os.path.realpath(path)
            index = next((i for known, i in self._index.items() if os.path.realpath(known) == real), None)
        if index is None:
            raise NotFoundError("is no audio file of this folder")
        return index

    def entries(self) -> list[Entry]:
        """The entries with their labels; a file of which several stretches are named becomes several entries."""
        result: list[Entry] = []
        for index, entry in enumerate(self._entries):
            rows = self._rows.get(index, [])
            stretches: dict[tuple[tuple[str, Any], ...], list[tuple[Path, Row]]] = {}
            for table, row in rows:
                stretches.setdefault(tuple(sorted(row.span.items())), []).append((table, row))
            result += [self._labelled(entry, found) for found in stretches.values()] or [entry]
        return result

    def _labelled(self, entry: Entry, rows: Sequence[tuple[Path, Row]]) -> Entry:
        """Join what several rows say about the same audio; where they differ, nobody knows which is right."""
        values: dict[str, Any] = dict(rows[0][1].span)
        if "offset_s" in values or "channel" in values:
            values["id"] = ""
        labels = {key: None for _, row in rows for key in row.labels}
        for key in labels:
            said = {row.labels[key] for _, row in rows if row.labels.get(key) is not None}
            if key == "split":
                # A folder called test is never overruled.
                split = most_protected(said)
                values[key] = (
                    most_protected({split, entry.split}) if entry.split in ("test", "valid") else split or entry.split
                )
            elif len(said) == 1:
                values[key] = said.pop()
            elif said:
                reason = f"has several entries for {key} in {rows[0][0].name}; none is used"
                self._left_out.append(LeftOut(entry.path, reason))
                values[key] = None
        return replace(entry, **values)
