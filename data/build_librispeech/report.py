"""What is known about the phone times, measured: the figures of the card's ``alignment`` part."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import soundfile

from . import acoustics
from .agreement import Agreement
from .align import SILENCE, Alignment, Segment
from .pronunciation import phone_error
from .source import Recording

SAMPLE = 120
"""Utterances of train and of test for what would take long on all of them."""
APART_S = 0.1
"""An utterance is counted as apart where the median phone begins more than this earlier or later."""
_SEED = 31


def alignment_figures(
    recordings: Sequence[Recording],
    first: Mapping[str, Alignment],
    second: Mapping[str, Sequence[Segment]],
    pronounced: Sequence[str],
) -> dict[str, object]:
    """Return shares, durations, levels, agreement and the preferred shift of the labels that are shipped."""
    segments = [alignment.segments for alignment in first.values()]
    spans = [(phone == SILENCE, end - begin) for utterance in segments for phone, begin, end in utterance]
    agreement = Agreement()
    apart_s = {name: agreement.add(first[name], phones) for name, phones in second.items()}
    train, test = sample(recordings, first)
    sounds, curve = _acoustics(train, test, first)
    return {
        "aligned_pct": round(100.0 * len(first) / len(recordings), 2),
        "without_phones": sorted(recording.id for recording in recordings if recording.id not in first),
        "words_pronounced_by_espeak_ng": len(pronounced),
        "phones_spoken": sum(not silent for silent, _ in spans),
        "silence_pct": round(100.0 * sum(s for silent, s in spans if silent) / sum(s for _, s in spans), 2),
        "durations": acoustics.durations(segments),
        "levels": sounds,
        "agreement_with_p2fa": {
            "utterances": len(second),
            "utterances_apart": sum(seconds > APART_S for seconds in apart_s.values()),
            **agreement.summary(),
        },
        "linear_classifier_error_pct_by_shift": curve,
        "espeak_ng": phone_error([*train, *test], first),
    }


def sample(recordings: Sequence[Recording], known: Mapping[str, Alignment]) -> tuple[list[Recording], list[Recording]]:
    """Return some aligned utterances of the train and of the test speakers, the same at every call."""
    sides = ([r for r in recordings if r.role == role and r.id in known] for role in ("train", "test"))
    train, test = (random.Random(_SEED).sample(side, min(SAMPLE, len(side))) for side in sides)
    return train, test


def _acoustics(
    train: Sequence[Recording], test: Sequence[Recording], kept: Mapping[str, Alignment]
) -> tuple[dict[str, float], dict[str, float]]:
    sides = []
    for side in (train, test):
        sounds: list[np.ndarray] = [soundfile.read(r.path)[0] for r in side]
        sides.append((sounds, [kept[r.id].segments for r in side]))
    return acoustics.levels(*sides[1]), acoustics.shift_curve(*sides)
