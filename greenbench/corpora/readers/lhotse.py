"""lhotse's JSON lines: recordings (with supervisions beside them) or cuts, plain or gzipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import Entry, Listing, absent, short_ids, split_name
from greenbench.corpora.readers.jsonl import read_objects
from greenbench.corpora.utterance import LeftOut
from greenbench.errors import DataError


def read(argument: str) -> Listing:
    """Read ``recordings.jsonl(.gz)`` or ``cuts.jsonl(.gz)``.

    Supervisions are taken from the file named alike (``supervisions`` for ``recordings``); each becomes an utterance.
    A recording without any is one utterance.
    """
    path = Path(argument).expanduser()
    supervisions = _supervisions(path)
    entries: list[Entry] = []
    left_out: list[LeftOut] = []
    for number, value in read_objects(path):
        try:
            recording = value.get("recording", value)
            audio = _audio(recording, path)
            if audio is None:
                left_out.append(LeftOut(f"{path}:{number}", f"{value.get('id')}: its source is not a file"))
            elif "recording" in value:
                entries.append(_entry(value["id"], audio, value, _first(value), path))
            elif found := supervisions.get(str(value["id"])):
                entries += [_entry(item["id"], audio, item, item, path) for item in found]
            else:
                entries.append(_entry(value["id"], audio, {}, {}, path))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path} line {number}: not a lhotse recording or cut ({error!r})") from error
    return Listing(path.resolve().name.partition(".")[0], short_ids(entries), tuple(left_out))


def _audio(recording: Mapping[str, Any], path: Path) -> str | None:
    source = recording["sources"][0]
    return str(path.parent / source["source"]) if source.get("type") == "file" else None


def _first(cut: Mapping[str, Any]) -> Mapping[str, Any]:
    supervisions = cut.get("supervisions") or [{}]
    # Several speakers or sentences in one cut: it has no single label.
    return dict(supervisions[0]) if len(supervisions) == 1 else {}


def _entry(name: str, audio: str, span: Mapping[str, Any], labels: Mapping[str, Any], path: Path) -> Entry:
    return Entry(
        path=audio,
        id=str(name),
        offset_s=float(span.get("start", 0.0)),
        duration_s=float(span["duration"]) if "duration" in span else None,
        split=split_name(path.name),
        speaker=absent(labels.get("speaker")),
        language=absent(labels.get("language")),
        text=absent(labels.get("text")),
    )


def _supervisions(path: Path) -> dict[str, list[dict[str, Any]]]:
    beside = path.with_name(path.name.replace("recordings", "supervisions"))
    found: dict[str, list[dict[str, Any]]] = {}
    if beside != path and beside.is_file():
        for number, value in read_objects(beside):
            if "recording_id" not in value or "id" not in value:
                raise DataError(f"{beside} line {number}: key 'recording_id' or 'id' is missing")
            found.setdefault(str(value["recording_id"]), []).append(value)
    return found
