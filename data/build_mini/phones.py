"""From the synthesizer's phoneme events to one phone inventory for all languages, with start and end in seconds.

Stress, length and palatalisation are dropped, diphthongs shared between languages are one phone, and what is left
over is split or folded as listed below. A stop's closure belongs to the stop.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

SILENCE = "sil"
PLOSIVES = frozenset(("p", "b", "t", "d", "k", "ɡ", "ts", "tʃ", "dʒ", "tɕ", "dʑ"))
_STRIPPED = str.maketrans("", "", "ːˈˌʲ-?.;ˑ͡")
# After stripping. A tuple is split in the middle; a rare phone is folded into its nearest common one.
_FOLD: dict[str, str | tuple[str, ...]] = {
    "ᵻ": "ɪ",
    "ɜ": "ɐ",
    "ɵ": "œ",
    "ʝ": "j",
    "ss": "s",
    "tt": "t",
    "dz": "z",
    "ɛɪ": "eɪ",
    "ʌʊ": "aʊ",
    "ɔø": "ɔɪ",
    "oɪ": "ɔɪ",
    "œ̃": "ɛ̃",
    "ʑ": "ʒ",
    "œy": "ɔɪ",
    "pf": ("p", "f"),
    "iə": ("i", "ə"),
    "ẽ": "ɛ̃",
    "õ": "ɔ̃",
    "ĩ": "i",
    "ũ": "u",
    "eʊ": ("e", "ʊ"),
    "iʊ": ("i", "ʊ"),
    "yʊ": ("y", "ʊ"),
    "uɪ": ("u", "ɪ"),
    "aɪɚ": ("aɪ", "ɚ"),
    "aɪə": ("aɪ", "ə"),
    "əl": ("ə", "l"),
    "ɪɹ": ("ɪ", "ɹ"),
    "ʊɹ": ("ʊ", "ɹ"),
    "ɛɹ": ("ɛ", "ɹ"),
    "ɑɹ": ("ɑ", "ɹ"),
    "oɹ": ("ɔ", "ɹ"),
    "ɔɹ": ("ɔ", "ɹ"),
    "ɐ̃ʊ̃": ("ɐ̃", "ʊ"),
    "õɪ̃": ("ɔ̃", "ɪ"),
    "ɐ̃ɪ̃": ("ɐ̃", "ɪ"),
    "ɔʊ": "oʊ",
    "dj": ("d", "j"),
    "tj": ("t", "j"),
}
_LANGUAGE_SWITCH = re.compile(r"\(\w*\)?")  # "(en)": the synthesizer reads the next word by another language's rules
_FOLD_ER = "ɜː"  # the vowel of "bird": with its length mark, before stripping
_QUIET = 0.02  # of the utterance's loud level: closures and pauses lie below, the softest fricatives above
_HOP_S = 0.002
_LONGEST_CLOSURE_S = 0.12
_SHORTEST_PAUSE_S = 0.03
_SHORTEST_SILENCE_S = 0.01

Segment = tuple[str, float, float]


def fold(ipa: str, language: str) -> tuple[str, ...]:
    """Return the phones of one synthesizer label; empty for a label that only modifies its neighbour."""
    if language == "en" and ipa == _FOLD_ER:
        return ("ɚ",)
    plain = unicodedata.normalize("NFC", _LANGUAGE_SWITCH.sub("", ipa).translate(_STRIPPED))
    folded = _FOLD.get(plain, plain)
    return folded if isinstance(folded, tuple) else (folded,) if folded else ()


def align(samples: np.ndarray, events: list[tuple[str, int]], sample_rate: int, language: str) -> list[Segment]:
    """Cover ``samples`` (mono, clean) with phones: ``[(phone, start_s, end_s), ...]`` without gaps."""
    loudness = _loudness(samples, sample_rate)
    duration = len(samples) / sample_rate
    starts = [sample / sample_rate for _, sample in events]
    segments: list[Segment] = [(SILENCE, 0.0, starts[0])] if starts[0] > 0 else []
    for (label, _), start, end in zip(events, starts, [*starts[1:], duration], strict=True):
        if end - start < 1e-4:
            continue
        phones = fold(label, language) if label else _pause(loudness, start, end)
        if not phones:
            _extend(segments, start, end)
            continue
        if phones[0] in PLOSIVES:
            start = _take_closure(segments, loudness, start)
        bounds = np.linspace(start, end, len(phones) + 1)
        segments += [(p, a, b) for p, a, b in zip(phones, bounds[:-1], bounds[1:], strict=True)]
    return merge(segments)


def merge(segments: list[Segment]) -> list[Segment]:
    """Join neighbouring silences and give one too short to be a pause to the phone before it."""
    merged: list[Segment] = []
    for phone, start, end in segments:
        joins = phone == SILENCE and merged and (merged[-1][0] == SILENCE or end - start < _SHORTEST_SILENCE_S)
        if joins:
            merged[-1] = (merged[-1][0], merged[-1][1], end)
        else:
            merged.append((phone, start, end))
    return merged


def _loudness(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Root mean square per 2 ms, relative to the 95th percentile."""
    hop = int(_HOP_S * sample_rate)
    frames = samples[: len(samples) // hop * hop].astype(np.float64).reshape(-1, hop)
    rms = np.sqrt((frames**2).mean(axis=1))
    return rms / max(np.percentile(rms, 95), 1e-9)


def _frame(time: float, loudness: np.ndarray) -> int:
    return min(int(time / _HOP_S), len(loudness))


def _pause(loudness: np.ndarray, start: float, end: float) -> tuple[str, ...]:
    if end - start < _SHORTEST_PAUSE_S:
        return ()
    inside = loudness[_frame(start, loudness) : _frame(end, loudness)]
    return (SILENCE,) if inside.size == 0 or np.median(inside) < _QUIET else ()


def _extend(segments: list[Segment], start: float, end: float) -> None:
    if segments:
        segments[-1] = (segments[-1][0], segments[-1][1], end)
    else:
        segments.append((SILENCE, start, end))


def _take_closure(segments: list[Segment], loudness: np.ndarray, onset: float) -> float:
    """Move the quiet stretch right before a stop from the phone before it to the stop; return the new start."""
    if not segments:
        return onset
    phone, begin, _ = segments[-1]
    earliest = max(onset - _LONGEST_CLOSURE_S, begin + (0.0 if phone == SILENCE else 0.01))
    start, frame = onset, _frame(onset, loudness) - 1
    while frame >= 0 and frame * _HOP_S >= earliest and loudness[frame] < _QUIET:
        start, frame = frame * _HOP_S, frame - 1
    if phone == SILENCE:
        start = max(start, onset - 0.05)
    segments[-1] = (phone, begin, start)
    if start - begin < 1e-4:
        segments.pop()
    return start
