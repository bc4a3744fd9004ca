"""How far two alignments of the same phones agree, in figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .align import SILENCE, Alignment, Segment

FRAME_S = 0.02
WITHIN_S = (0.02, 0.05, 0.1)
_TOLERANCE_S = 1e-4


@dataclass
class Agreement:
    """Differences (second minus first, seconds) and frame labels, gathered utterance by utterance."""

    phone_begins: list[float] = field(default_factory=list)
    word_begins: list[float] = field(default_factory=list)
    word_ends: list[float] = field(default_factory=list)
    frames: int = 0
    same: int = 0
    speech_frames: int = 0
    same_speech: int = 0
    same_silence: int = 0

    def add(self, first: Alignment, second: Sequence[Segment]) -> float:
        """Count one utterance in and return the median absolute difference of its phones' begins in seconds."""
        spoken = [segment for segment in second if segment[0] != SILENCE]
        begins: list[float] = []
        for _, phones in first.words:
            other, spoken = spoken[: len(phones)], spoken[len(phones) :]
            begins += [b[1] - a[1] for a, b in zip(phones, other, strict=True)]
            self.word_begins.append(other[0][1] - phones[0][1])
            self.word_ends.append(other[-1][2] - phones[-1][2])
        self.phone_begins += begins
        self._add_frames(first.segments, second)
        return float(np.median(np.abs(begins)))

    def _add_frames(self, first: Sequence[Segment], second: Sequence[Segment]) -> None:
        centres = np.arange(FRAME_S / 2, min(first[-1][2], second[-1][2]), FRAME_S)
        one, two = labels_at(first, centres), labels_at(second, centres)
        speech = (one != SILENCE) | (two != SILENCE)
        self.frames += len(centres)
        self.same += int((one == two).sum())
        self.speech_frames += int(speech.sum())
        self.same_speech += int((one == two)[speech].sum())
        self.same_silence += int(((one == SILENCE) == (two == SILENCE)).sum())

    def summary(self) -> dict[str, object]:
        """Return the figures as plain data."""
        return {
            "phone_begins": spread(self.phone_begins),
            "word_begins": spread(self.word_begins),
            "word_ends": spread(self.word_ends),
            "same_frame_label_pct": _percent(self.same, self.frames),
            "same_frame_label_in_speech_pct": _percent(self.same_speech, self.speech_frames),
            "same_speech_or_silence_pct": _percent(self.same_silence, self.frames),
        }


def labels_at(segments: Sequence[Segment], times: np.ndarray) -> np.ndarray:
    """Return the label of the segment that holds each time; the segments cover all times without gap."""
    ends = np.array([end for _, _, end in segments])
    names = np.array([name for name, _, _ in segments])
    return names[np.searchsorted(ends, times, side="right").clip(max=len(names) - 1)]


def spread(differences_s: Iterable[float]) -> dict[str, float]:
    """Return number, median, mean absolute difference and the shares within 20, 50 and 100 ms."""
    values = np.array(list(differences_s))
    size = np.abs(values)
    within = {
        f"within_{round(1000 * limit)}_ms_pct": _percent(int((size <= limit + _TOLERANCE_S).sum()), len(values))
        for limit in WITHIN_S
    }
    return {
        "boundaries": len(values),
        "median_ms": round(1000 * float(np.median(values)), 1),
        "mean_absolute_ms": round(1000 * float(np.abs(values).mean()), 1),
        **within,
    }


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / max(whole, 1), 2)
