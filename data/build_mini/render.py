"""One job to one utterance: speak, align, shift the formants, equalise, pad, put in a room, add noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from . import augment, phones
from .plan import Job
from .speakers import VOICES
from .synth import Synthesizer

SHORTEST_S, LONGEST_S = 1.5, 8.0


@dataclass(frozen=True)
class Utterance:
    """Samples at 16 kHz (int16), the sentence kept, its phones and what was done to the sound."""

    job: Job
    samples: np.ndarray
    text: str
    segments: list[phones.Segment]
    facts: dict[str, object]


def clean(job: Job, seed: int) -> tuple[np.ndarray, str, list[phones.Segment]]:
    """Speech of the job's voice without room or noise (float, 16 kHz), the sentence and the aligned phones."""
    rng = np.random.default_rng([seed, job.number, 0])
    engine, voice = Synthesizer(), job.speaker
    rate = round(voice.words_per_minute * rng.uniform(0.92, 1.08) / voice.formants)
    pitch = voice.pitch + int(rng.integers(-4, 5))
    lead, trail = rng.uniform(0.06, 0.25, 2)
    for text in job.texts:
        raw, events = engine.speak(
            text,
            f"{VOICES[job.language]}+{voice.variant}",
            rate=rate,
            pitch=pitch,
            pitch_range=voice.pitch_range,
            seed=job.number,
        )
        spoken_s = len(raw) / engine.sample_rate / voice.formants
        if job.task == "keyword" or SHORTEST_S <= spoken_s + lead + trail <= LONGEST_S:
            break
    else:
        raise RuntimeError(f"{job.id}: none of {len(job.texts)} sentences lasts {SHORTEST_S}-{LONGEST_S} s")
    # Played faster by the factor ``formants``: all frequencies rise by it, all times shrink by it.
    segments = phones.align(raw, events, engine.sample_rate, job.language)
    scaled = [(p, lead + a / voice.formants, lead + b / voice.formants) for p, a, b in segments]
    end = lead + len(raw) / engine.sample_rate / voice.formants
    scaled = phones.merge([(phones.SILENCE, 0.0, lead), *scaled, (phones.SILENCE, end, end + trail)])
    speech = soxr.resample(raw / 32768.0, engine.sample_rate * voice.formants, augment.SAMPLE_RATE, "VHQ")
    before = round(lead * augment.SAMPLE_RATE)
    total = round((end + trail) * augment.SAMPLE_RATE)
    padded = np.zeros(total)
    speech = speech[: total - before]
    padded[before : before + speech.size] = speech
    return augment.equalise(padded, voice.eq_db), text, scaled


def render(job: Job, seed: int, bank: list[np.ndarray]) -> Utterance:
    """The finished utterance."""
    speech, text, segments = clean(job, seed)
    active = np.zeros(speech.size, dtype=bool)
    for phone, start, end in segments:
        if phone != phones.SILENCE:
            active[round(start * augment.SAMPLE_RATE) : round(end * augment.SAMPLE_RATE)] = True
    rng = np.random.default_rng([seed, job.number, 1])
    speech, facts = augment.disturb(speech, active, rng, bank)
    return Utterance(job, np.round(speech * 32767).astype(np.int16), text, segments, facts)
