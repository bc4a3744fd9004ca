"""Which utterance serves which task: speaker identification's own split, and keywords cut out of running speech."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .align import Alignment, Segment
from .source import Recording

SPEAKER_TRAIN, SPEAKER_TEST = 5, 3
_SHORTEST_S = 2.0
KEYWORD_LETTERS = 4
KEYWORD_LEAST = {"train": 30, "test": 10}
KEYWORD_MOST = {"train": 40, "test": 20}
_MARGIN_S = 0.03


def speaker_split(recordings: Sequence[Recording], duration_s: Mapping[str, float]) -> dict[str, str]:
    """``train`` or ``test`` for some utterances of every train speaker, by id.

    The shortest ones of at least two seconds are taken: a voice is told from 15 s of it almost without error.
    """
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.role == "train" and duration_s[recording.id] >= _SHORTEST_S:
            by_speaker[recording.speaker].append(recording)
    parts: dict[str, str] = {}
    for spoken in by_speaker.values():
        shortest = sorted(spoken, key=lambda r: (duration_s[r.id], r.id))[: SPEAKER_TRAIN + SPEAKER_TEST]
        for place, recording in enumerate(sorted(shortest, key=lambda r: _hash(r.id))):
            parts[recording.id] = "train" if place < SPEAKER_TRAIN else "test"
    return parts


@dataclass(frozen=True)
class Keyword:
    """One reading of a word: where it lies in its utterance, and its phones from its own begin."""

    id: str
    recording: Recording
    word: str
    begin_s: float
    end_s: float
    phones: tuple[Segment, ...]


def keywords(recordings: Sequence[Recording], alignments: Mapping[str, Alignment]) -> list[Keyword]:
    """Return readings of the frequent words, cut at the word's times with a little of what is around them.

    Words of at least four letters that both sides say often enough; the readings are taken in the order of a hash.
    """
    found: dict[str, list[Keyword]] = defaultdict(list)
    for recording in recordings:
        if recording.role in KEYWORD_MOST and recording.id in alignments:
            for reading in _readings(recording, alignments[recording.id]):
                found[reading.word].append(reading)
    chosen = []
    for word, readings in sorted(found.items()):
        counts = Counter(reading.recording.role for reading in readings)
        if len(word) < KEYWORD_LETTERS or any(counts[role] < least for role, least in KEYWORD_LEAST.items()):
            continue
        for role, most in KEYWORD_MOST.items():
            side = sorted((r for r in readings if r.recording.role == role), key=lambda r: _hash(r.id))
            chosen += side[:most]
    return chosen


def _readings(recording: Recording, alignment: Alignment) -> list[Keyword]:
    readings = []
    duration_s = alignment.segments[-1][2]
    for number, (word, phones) in enumerate(alignment.words):
        begin = round(max(phones[0][1] - _MARGIN_S, 0.0), 3)
        end = round(min(phones[-1][2] + _MARGIN_S, duration_s), 3)
        timed = tuple((phone, round(a - begin, 3), round(b - begin, 3)) for phone, a, b in phones)
        readings.append(Keyword(f"{recording.id}-w{number:02d}", recording, word, begin, end, timed))
    return readings


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
