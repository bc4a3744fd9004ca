"""Shards, manifest and card from aligned recordings."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .align import SAMPLE_RATE, SILENCE, Alignment
from .labels import Keyword
from .shards import OpusFile, join, largest_difference, read_opus
from .source import ROLES, Recording

MANIFEST, CARD = "manifest.jsonl.gz", "card.json"
SHARD_S = 1800.0
LARGEST_DIFFERENCE = 0.02
"""Of a file's rms: more than this between the file and its part of a shard ends the build."""


@dataclass(frozen=True)
class Placed:
    """Where a recording lies: its shard, its first sample there and its samples, at 16 kHz."""

    shard: str
    offset: int
    num_samples: int

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return self.num_samples / SAMPLE_RATE


def write_shards(recordings: Sequence[Recording], folder: Path) -> tuple[dict[str, Placed], float]:
    """Join the recordings into shards of one role and about half an hour each.

    Returns each one's place by id, and the largest difference between a source and its part of a shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    placed: dict[str, Placed] = {}
    largest = 0.0
    groups = [group for role in ROLES for group in _groups([r for r in recordings if r.role == role])]
    for number, group in enumerate(groups):
        name = f"shard-{number:02d}.opus"
        begins = join([file for _, file in group], folder / name, serial=number + 1)
        for (recording, file), begin in zip(group, begins, strict=True):
            placed[recording.id] = Placed(name, begin, file.num_samples)
        difference = largest_difference(folder / name, [recording.path for recording, _ in group], begins)
        if difference > LARGEST_DIFFERENCE:
            raise SystemExit(f"{name}: a part differs from its source by {difference:.3f} of the source's rms")
        largest = max(largest, difference)
    return placed, largest


def _groups(recordings: Sequence[Recording]) -> list[list[tuple[Recording, OpusFile]]]:
    """Return equal parts of the recordings, none much longer than a shard should be."""
    files = [(r, read_opus(r.path)) for r in sorted(recordings, key=lambda r: r.id)]
    total = sum(file.num_samples for _, file in files)
    parts = max(1, round(total / SAMPLE_RATE / SHARD_S))
    groups: list[list[tuple[Recording, OpusFile]]] = [[] for _ in range(parts)]
    before = 0
    for recording, file in files:
        groups[min(before * parts // total, parts - 1)].append((recording, file))
        before += file.num_samples
    return groups


def manifest_lines(
    recordings: Sequence[Recording],
    placed: Mapping[str, Placed],
    alignments: Mapping[str, Alignment],
    speaker_parts: Mapping[str, str],
    readings: Sequence[Keyword],
) -> list[dict[str, object]]:
    """Return one object an utterance; the keys are the contract with the reader."""
    lines = []
    for recording in sorted(recordings, key=lambda r: (placed[r.id].shard, placed[r.id].offset)):
        place = placed[recording.id]
        line = _common(recording, place, place.offset, place.num_samples) | {
            "id": recording.id,
            "task": "speech",
            "text": recording.text,
        }
        if recording.id in alignments:
            line["phones"] = alignments[recording.id].segments
        if recording.budgets:
            line["label_sets"] = recording.budgets
        if recording.id in speaker_parts:
            line["speaker_split"] = speaker_parts[recording.id]
        lines.append(line)
    for reading in readings:
        place = placed[reading.recording.id]
        begin, end = (round(t * SAMPLE_RATE) for t in (reading.begin_s, reading.end_s))
        lines.append(
            _common(reading.recording, place, place.offset + begin, end - begin)
            | {"id": reading.id, "task": "keyword", "text": reading.word, "keyword": reading.word}
        )
    return lines


def _common(recording: Recording, place: Placed, offset: int, num_samples: int) -> dict[str, object]:
    return {
        "path": place.shard,
        "offset": offset,
        "num_samples": num_samples,
        "sample_rate": SAMPLE_RATE,
        "split": recording.role,
        "speaker": recording.speaker,
        "language": "en",
    }


def write_manifest(lines: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write JSON lines, compressed; the same lines give the same bytes."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())


def statistics(lines: Sequence[Mapping]) -> dict[str, dict[str, object]]:
    """Return the size of every split and task."""
    result: dict[str, dict[str, object]] = {}
    for task in ("speech", "keyword"):
        for role in ROLES:
            group = [line for line in lines if line["split"] == role and line["task"] == task]
            if group:
                result[role if task == "speech" else f"keyword_{role}"] = {
                    "utterances": len(group),
                    "minutes": _minutes(group),
                    "speakers": len({line["speaker"] for line in group}),
                    "with_phones": sum("phones" in line for line in group),
                }
    return result


def label_sets(lines: Sequence[Mapping]) -> dict[str, dict[str, object]]:
    """Return the size of the limited label sets."""
    names = dict.fromkeys(name for line in lines for name in line.get("label_sets", ()))
    groups = {name: [line for line in lines if name in line.get("label_sets", ())] for name in names}
    return {
        name: {
            "utterances": len(group),
            "minutes": _minutes(group),
            "speakers": len({line["speaker"] for line in group}),
        }
        for name, group in groups.items()
    }


def _minutes(group: Sequence[Mapping]) -> float:
    return round(sum(line["num_samples"] for line in group) / SAMPLE_RATE / 60, 2)


def phone_counts(lines: Sequence[Mapping]) -> dict[str, int]:
    """Return how often each phone occurs in the labelled train utterances, silence first."""
    train = [line for line in lines if line["split"] == "train" and line["task"] == "speech"]
    counts = Counter(phone for line in train for phone, _, _ in line.get("phones", ()))
    return {phone: counts[phone] for phone in sorted(counts, key=lambda p: (p != SILENCE, p))}


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every shard and of the manifest."""
    files = [*sorted(folder.glob("shard-*.opus")), folder / MANIFEST]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
