"""Whether phone times fit the sound: durations, level in silence and speech, and the shift a classifier likes best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from .agreement import labels_at
from .align import SAMPLE_RATE, SILENCE, Segment

CLASSES = {
    "vowels": ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"],
    "stops": ["B", "D", "G", "K", "P", "T"],
    "affricates": ["CH", "JH"],
    "fricatives": ["DH", "F", "HH", "S", "SH", "TH", "V", "Z", "ZH"],
    "nasals": ["M", "N", "NG"],
    "approximants": ["L", "R", "W", "Y"],
    SILENCE: [SILENCE],
}
SHIFTS_S = (-0.04, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.04)
_HOP_S, _WINDOW_S = 0.01, 0.025
_BANDS, _CONTEXT = 24, 3


def durations(alignments: Sequence[Sequence[Segment]]) -> dict[str, dict[str, float]]:
    """Return number and percentiles of duration in milliseconds by class of phone."""
    found: dict[str, list[float]] = defaultdict(list)
    kinds = {phone: kind for kind, phones in CLASSES.items() for phone in phones}
    for segments in alignments:
        for phone, begin, end in segments:
            found[kinds[phone]].append(1000 * (end - begin))
    return {kind: {"segments": len(found[kind]), **_percentiles(found[kind])} for kind in CLASSES if found[kind]}


def _percentiles(values: list[float]) -> dict[str, float]:
    marks = (5, 50, 95)
    return {f"p{mark}_ms": round(float(v), 1) for mark, v in zip(marks, np.percentile(values, marks), strict=True)}


def levels(sounds: Sequence[np.ndarray], alignments: Sequence[Sequence[Segment]]) -> dict[str, float]:
    """Return mean levels in dB in silence and speech, and how often a frame of silence is softer than one of speech.

    The last figure is the area under the receiver's curve, within utterances: 1 where every silent frame is softer.
    """
    silent_db, spoken_db, areas = [], [], []
    for samples, segments in zip(sounds, alignments, strict=True):
        frames = _frames(samples)
        level = 10.0 * np.log10((frames**2).mean(axis=1) + 1e-10)
        silence = labels_at(segments, _centres(len(frames))) == SILENCE
        if not silence.any() or silence.all():
            continue
        silent_db.append(level[silence].mean())
        spoken_db.append(level[~silence].mean())
        spoken = np.sort(level[~silence])
        areas.append(1.0 - np.searchsorted(spoken, level[silence]).mean() / len(spoken))
    return {
        "silence_db": round(float(np.mean(silent_db)), 1),
        "speech_db": round(float(np.mean(spoken_db)), 1),
        "silence_softer_than_speech": round(float(np.mean(areas)), 4),
    }


def shift_curve(
    train: tuple[Sequence[np.ndarray], Sequence[Sequence[Segment]]],
    test: tuple[Sequence[np.ndarray], Sequence[Sequence[Segment]]],
) -> dict[str, float]:
    """Return the frame error in percent, on other speakers, of a linear classifier whose labels are moved in time.

    Fitted and tested at each shift: labels that are late or early throughout have their least error at another one.
    """
    features = [np.concatenate([_log_mel(samples) for samples in sounds]) for sounds, _ in (train, test)]
    curve = {}
    for shift in SHIFTS_S:
        labels = []
        for sounds, alignments in (train, test):
            pairs = zip(sounds, alignments, strict=True)
            labels.append(np.concatenate([labels_at(a, _centres(len(_frames(s))) - shift) for s, a in pairs]))
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1e-3).fit(features[0], labels[0])
        error = 100.0 * float((model.predict(features[1]) != labels[1]).mean())
        curve[f"{round(1000 * shift):+d}_ms"] = round(error, 2)
    return curve


def least(curve: Mapping[str, float]) -> str:
    """Return the shift of the least error."""
    return min(curve, key=lambda shift: curve[shift])


def _frames(samples: np.ndarray) -> np.ndarray:
    window, hop = round(_WINDOW_S * SAMPLE_RATE), round(_HOP_S * SAMPLE_RATE)
    return np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]


def _centres(count: int) -> np.ndarray:
    return np.arange(count) * _HOP_S + _WINDOW_S / 2


def _log_mel(samples: np.ndarray) -> np.ndarray:
    """Return log-mel energies of a frame and its neighbours, mean removed, (frames, bands * (2 * context + 1))."""
    frames = _frames(samples)
    power = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), 512)) ** 2
    mel = 2595.0 * np.log10(1.0 + np.linspace(0, SAMPLE_RATE / 2, 257) / 700.0)
    centres = np.linspace(mel[1], mel[-1], _BANDS + 2)
    rising = (mel[:, None] - centres[None, :-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[None, 2:] - mel[:, None]) / (centres[2:] - centres[1:-1])
    energies = np.log(power @ np.clip(np.minimum(rising, falling), 0, None) + 1e-8)
    energies -= energies.mean(axis=0)
    padded = np.pad(energies, ((_CONTEXT, _CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + len(frames)] for k in range(2 * _CONTEXT + 1)], axis=1)
