"""Both alignments of all recordings, in parallel; what is done is kept in a folder, so that a second run goes on."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import distribution
from pathlib import Path

import soundfile

from .align import BEAMS, Aligner, Alignment, Segment
from .lexicon import Pronunciations
from .p2fa import PennAligner
from .source import Recording

FIRST, SECOND = "pocketsphinx.jsonl", "p2fa.jsonl"
_LEXICON: Pronunciations = {}  # filled before the workers are forked


def align_all(
    recordings: Sequence[Recording], lexicon: Pronunciations, folder: Path, *, workers: int
) -> dict[str, Alignment]:
    """Return pocketsphinx' alignments by id, without the recordings for which no beam found one."""
    _LEXICON.update(lexicon)
    values = _resumed(folder / FIRST, recordings, _first, workers)
    return {name: _alignment(value) for name, value in values.items() if value is not None}


def align_again(
    recordings: Sequence[Recording], alignments: Mapping[str, Alignment], folder: Path, *, workers: int
) -> dict[str, list[Segment]]:
    """Return the second aligner's times for the phones that the first one chose."""
    known = [r for r in recordings if r.id in alignments]
    words = {r.id: [[p for p, _, _ in phones] for _, phones in alignments[r.id].words] for r in known}
    values = _resumed(folder / SECOND, known, partial(_second, words=words), workers)
    return {name: [(p, a, b) for p, a, b in value] for name, value in values.items()}


def _first(recording: Recording) -> object:
    for beam in BEAMS:
        found = _aligner(beam).align(recording.path, recording.text)
        if found is not None:
            return {"segments": found.segments, "words": found.words, "score": round(found.score, 2)}
    return None


def _second(recording: Recording, words: Mapping[str, list[list[str]]]) -> object:
    samples, rate = soundfile.read(recording.path)
    segments = _penn().align(samples, rate, words[recording.id])
    return [(phone, round(begin, 4), round(end, 4)) for phone, begin, end in segments]


@cache
def _aligner(beam: float) -> Aligner:
    return Aligner(_LEXICON, beam)


@cache
def _penn() -> PennAligner:
    return PennAligner(Path(str(distribution("pyfoal").locate_file("pyfoal/assets/p2fa/hmmdefs"))))


def _alignment(value: dict) -> Alignment:
    def timed(segments: Iterable) -> tuple[Segment, ...]:
        return tuple((p, a, b) for p, a, b in segments)

    words = tuple((word, timed(phones)) for word, phones in value["words"])
    return Alignment(timed(value["segments"]), words, value["score"])


def _resumed(path: Path, recordings: Sequence[Recording], work: Callable[[Recording], object], workers: int) -> dict:
    """Run ``work`` on the recordings that the file does not hold yet, and return all results by id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = dict(json.loads(line) for line in lines)
    left = [recording for recording in recordings if recording.id not in done]
    with path.open("a", encoding="utf-8") as file, multiprocessing.get_context("fork").Pool(workers) as pool:
        for number, (recording, value) in enumerate(zip(left, pool.imap(work, left), strict=True), 1):
            line = json.dumps([recording.id, value])
            done[recording.id] = json.loads(line)[1]
            file.write(line + "\n")
            file.flush()
            if number % 100 == 0 or number == len(left):
                print(f"{path.stem}: {number} of {len(left)} utterances", file=sys.stderr)
    return done
