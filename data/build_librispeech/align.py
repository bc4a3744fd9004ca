"""Phone times by forced alignment with pocketsphinx 5: its English acoustic model reads the transcript's phones.

The beams are so wide that hardly anything is pruned: with the default ones, long utterances lose the only path that
ends in the last word. Optional silence may stand between any two words, and the variant of a word's pronunciation that
fits best is taken.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from .lexicon import Pronunciations, normal, write_dictionary

Segment = tuple[str, float, float]

SAMPLE_RATE = 16_000
SILENCE = "sil"
BEAMS = (1e-100, 1e-200)
"""Tried in this order."""
_FRAME_S = 0.01
_OFFSET_S = 0.005
"""Frame ``i`` of the recogniser is a window of 25.6 ms from ``10 i`` ms on. Half-way between the centres of frames
``i - 1`` and ``i`` lies ``10 i + 7.8`` ms. 5 ms of it are added: then the second aligner agrees best (+0: 80.8 % of
the boundaries within 20 ms, +5: 83.2 %, +10: 80.5 %), and no boundary falls on a centre of 20 ms frames."""
_VARIANT = re.compile(r"\(\d+\)$")
_FILLERS = frozenset(("SIL", "+NSN+", "+SPN+"))


@dataclass(frozen=True)
class Alignment:
    """An utterance's words, each ``(word, its phones)``, and all phones with the silence between them.

    ``segments`` cover the utterance without gap, in seconds. ``score`` is pocketsphinx' log-likelihood a frame of
    speech relative to its best senone, in its own units: 0 would be a perfect fit.
    """

    segments: tuple[Segment, ...]
    words: tuple[tuple[str, tuple[Segment, ...]], ...]
    score: float


class Aligner:
    """One pocketsphinx decoder with its dictionary and beams."""

    def __init__(self, lexicon: Pronunciations, beam: float) -> None:
        from pocketsphinx import Decoder, get_model_path, set_loglevel

        set_loglevel("FATAL")
        with tempfile.TemporaryDirectory() as folder:
            dictionary = Path(folder) / "words.dict"
            write_dictionary(lexicon, dictionary)
            self._decoder: Any = Decoder(
                hmm=get_model_path("en-us/en-us"),
                dict=str(dictionary),
                lm=None,
                beam=beam,
                pbeam=beam,
                wbeam=beam,
                maxhmmpf=-1,
                bestpath=False,
                dither=False,
            )

    def align(self, path: Path, text: str) -> Alignment | None:
        """Return the alignment of a 16 kHz file, None where no path through the transcript survives."""
        samples, rate = soundfile.read(path, dtype="int16")
        if rate != SAMPLE_RATE:
            raise ValueError(f"{path}: {rate} Hz; 16000 expected")
        decoder = self._decoder
        try:
            decoder.set_align_text(normal(text))
            self._read(samples)
            if decoder.hyp() is None:
                return None
            decoder.set_alignment()
            self._read(samples)
            found = [(w.name, [(p.name, p.start, p.duration, p.score) for p in w]) for w in decoder.get_alignment()]
        except RuntimeError:
            return None
        return to_alignment(found, len(samples) / SAMPLE_RATE)

    def _read(self, samples: np.ndarray) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()


Found = Sequence[tuple[str, Sequence[tuple[str, int, int, int]]]]
"""Words and their phones as the decoder gives them: name, first frame, frames, score."""


def to_alignment(found: Found, duration_s: float) -> Alignment:
    """Return seconds for frames, fillers (silence, noise, breath) as silence, the ends stretched to the utterance."""
    words: list[tuple[str, tuple[Segment, ...]]] = []
    segments: list[Segment] = []
    total = frames = 0
    for name, phones in found:
        timed = [_timed(phone, start, length) for phone, start, length, _ in phones]
        if phones[0][0] not in _FILLERS:
            words.append((_VARIANT.sub("", name), tuple(timed)))
            total += sum(score for *_, score in phones)
            frames += sum(length for _, _, length, _ in phones)
        for segment in timed:
            if segments and segment[0] == segments[-1][0] == SILENCE:
                segments[-1] = (SILENCE, segments[-1][1], segment[2])
            else:
                segments.append(segment)
    segments[0] = (segments[0][0], 0.0, segments[0][2])
    segments[-1] = (segments[-1][0], segments[-1][1], round(duration_s, 3))
    return Alignment(tuple(segments), tuple(words), total / max(frames, 1))


def _timed(phone: str, start: int, length: int) -> Segment:
    begin, end = (round(frame * _FRAME_S + _OFFSET_S, 3) for frame in (start, start + length))
    return (SILENCE if phone in _FILLERS else phone, begin, end)
