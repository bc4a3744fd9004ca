"""lhotse's JSON lines: recordings (with supervisions beside them) or cuts, plain or gzipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greenbench.corpora.readers.entry import Entry, Listing, absent, with_ids
from greenbench.corpora.readers.jsonl import read_objects, seconds
from greenbench.corpora.readers.names import Names, NotFoundError
from greenbench.corpora.readers.split_names import split_name
from greenbench.corpora.utterance import LeftOut

_HARMLESS = frozenset({"Resample"})
"""Transforms that leave times and content as they are: everything is resampled to 16 kHz anyway."""


class _Reader:
    """Reads the lines of one file, with the supervisions of another and the audio files that both name."""

    def __init__(self, path: Path) -> None:
        self.path, self.names = path, Names()
        self.left_out: list[LeftOut] = []
        self.entries: list[Entry] = []
        self.supervisions = _supervisions(path, self.left_out)

    def line(self, number: int, value: Mapping[str, Any]) -> None:
        """Take the cut or the recording of a line; what cannot be used is listed."""
        spans = [value] if "recording" in value else self.supervisions.get(str(value.get("id")), [{}])
        for span in spans:
            name = f"{self.path}:{number} ({span.get('id', value.get('id'))})"
            try:
                self.entries.append(self._entry(value, span))
            except NotFoundError as error:
                self.left_out.append(LeftOut(name, f"its audio {error}"))
            except KeyError as error:
                self.left_out.append(LeftOut(name, f"not a lhotse recording or cut ({error} is missing)"))
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                self.left_out.append(LeftOut(name, str(error)))

    def _entry(self, value: Mapping[str, Any], span: Mapping[str, Any]) -> Entry:
        """One utterance: a cut, a supervision of a recording, or a whole recording (an empty ``span``)."""
        _check_unchanged(value)
        recording = value.get("recording", value)
        _check_unchanged(recording)
        source, channel = _source(recording, span.get("channel"))
        labels = _labels(span) if "recording" in value else span
        return Entry(
            path=self.names.find(source, self.path.parent, within=self.path.parent, also=Path.cwd()),
            id=absent(span.get("id", value["id"])) or "",
            offset_s=seconds(span.get("start", 0.0), "start"),
            duration_s=seconds(span["duration"], "duration") if "duration" in span else None,
            split=split_name(self.path.name),
            speaker=absent(labels.get("speaker")),
            language=absent(labels.get("language")),
            text=absent(labels.get("text")),
            channel=channel,
        )


def read(argument: str) -> Listing:
    """Read ``recordings.jsonl(.gz)`` or ``cuts.jsonl(.gz)``.

    Supervisions are taken from the file named alike (``supervisions`` for ``recordings``); each becomes an utterance.
    A recording without any is one utterance. Of several channels the one is taken that the cut or supervision names.
    Cuts that change or mix audio are left out.
    """
    path = Path(argument).expanduser()
    reader = _Reader(path)
    for number, value in read_objects(path, reader.left_out):
        reader.line(number, value)
    return Listing(path.resolve().name.partition(".")[0], with_ids(reader.entries), tuple(reader.left_out))


def _check_unchanged(value: Mapping[str, Any]) -> None:
    if "tracks" in value or value.get("type") in ("MixedCut", "PaddingCut"):
        raise ValueError(f"is a {value.get('type', 'MixedCut')}; mixing and padding are not applied, save its audio")
    for transform in value.get("transforms") or ():
        name = transform.get("name") if isinstance(transform, dict) else transform
        if name not in _HARMLESS:
            raise ValueError(f"asks for the transform {name}, which is not applied; save its audio")


def _source(recording: Mapping[str, Any], wanted: Any) -> tuple[str, int | None]:
    """The file that holds a channel, and which of the file's channels it is; None for all of the only file."""
    sources = recording["sources"]
    held = sorted({channel for source in sources for channel in source.get("channels", [0])})
    chosen = held if wanted is None else sorted(wanted) if isinstance(wanted, list) else [wanted]
    for source in sources:
        channels = list(source.get("channels", [0]))
        if not set(chosen) <= set(channels):
            continue
        if source.get("type") != "file":
            raise ValueError("its source is not a file")
        if len(chosen) == 1:
            return str(source["source"]), channels.index(chosen[0])
        if chosen == sorted(channels):
            return str(source["source"]), None
        raise ValueError(f"asks for the channels {chosen} of {sorted(channels)}; one or all can be read")
    if set(chosen) <= set(held):
        raise ValueError(f"its channels lie in {len(sources)} files; give cuts of one channel")
    raise ValueError(f"asks for channel {', '.join(map(str, chosen))}, the recording has {held}")


def _labels(cut: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of a cut's only supervision; with several speakers or sentences it has no single one."""
    supervisions = [item for item in cut.get("supervisions") or () if _same_channel(item, cut)]
    return dict(supervisions[0]) if len(supervisions) == 1 else {}


def _same_channel(supervision: Mapping[str, Any], cut: Mapping[str, Any]) -> bool:
    heard, said = cut.get("channel"), supervision.get("channel")
    if heard is None or said is None:
        return True
    return bool({*(heard if isinstance(heard, list) else [heard])} & {*(said if isinstance(said, list) else [said])})


def _supervisions(path: Path, left_out: list[LeftOut]) -> dict[str, list[dict[str, Any]]]:
    beside = path.with_name(path.name.replace("recordings", "supervisions"))
    found: dict[str, list[dict[str, Any]]] = {}
    if beside != path and beside.is_file():
        for number, value in read_objects(beside, left_out):
            if "recording_id" not in value or "id" not in value:
                left_out.append(LeftOut(f"{beside}:{number}", "key 'recording_id' or 'id' is missing"))
            else:
                found.setdefault(str(value["recording_id"]), []).append(value)
    return found
