"""A small corpus whose sounds are known: every phone is a pair of tones, so that a spectrum says what was said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from greenbench.corpora.utterance import Utterance
from greenbench.features.extract import extract
from greenbench.features.spec import LOGMEL_80
from greenbench.models.base import Batch, Upstream
from greenbench.models.controls import LogMel

RATE = 16_000
PHONES = {"a": (700, 1200), "i": (300, 2300), "u": (350, 800), "s": (4000, 5500), "n": (250, 1700)}
WORDS = {"yes": "ias", "no": "nu", "up": "asu"}


@dataclass
class Store:
    """Waveforms in memory."""

    waves: list[np.ndarray]

    def waveform(self, index: int) -> np.ndarray:
        return self.waves[index]


@dataclass
class ToyCorpus:
    """Utterances and audio of train and test."""

    splits: dict[str, tuple[Utterance, ...]]
    stores: dict[str, Store]
    featurize: Callable[[Tensor], Tensor] = field(repr=False)

    def split(self, name: str) -> tuple[Utterance, ...]:
        return self.splits[name]


def speak(phones: str, pitch: float, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, list]:
    pieces, segments, at = [], [], 0.0
    for phone in ["sil", *phones, "sil"]:
        seconds = rng.uniform(0.06, 0.14)
        time = np.arange(int(seconds * RATE)) / RATE
        tones = sum(np.sin(2 * np.pi * f * pitch * time) for f in PHONES.get(phone, ()))
        pieces.append(0.2 * np.asarray(tones) + noise * rng.standard_normal(len(time)))
        segments.append((phone, at, at + len(time) / RATE))
        at += len(time) / RATE
    return np.concatenate(pieces).astype(np.float32), segments


def letters_without_repeats(letters: str, count: int, rng: np.random.Generator) -> str:
    """Return letters of which no two neighbours are the same: frames cannot tell a sound said twice from a long one."""
    text = ""
    while len(text) < count:
        text += str(rng.choice([c for c in letters if not text.endswith(c)]))
    return text


def make_toy(*, utterances: int = 60, keywords: int = 24, noise: float = 0.05, seed: int = 0) -> ToyCorpus:
    rng = np.random.default_rng(seed)
    splits: dict[str, list[Utterance]] = {"train": [], "test": []}
    waves: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for split, share in (("train", 1.0), ("test", 0.5)):
        speakers = [f"{split}{n}" for n in range(6)]
        for number in range(int(utterances * share)):
            place = number % len(speakers)
            language = ("xx", "yy")[number % 2]
            # The second language never says "u" and likes "s": both can be told apart.
            letters = letters_without_repeats("aiun" if language == "xx" else "ains", 8, rng)
            wave, segments = speak(letters, 1 + 0.03 * place, noise, rng)
            splits[split].append(
                Utterance(
                    f"{split}-{number}",
                    "x.wav",
                    0,
                    len(wave),
                    split=split,
                    speaker=speakers[place],
                    language=language,
                    text=letters,
                    phones=tuple(segments),
                    speaker_split=("test" if number % 5 == 0 else "train") if split == "train" else None,
                )
            )
            waves[split].append(wave)
        for number in range(keywords):
            word = list(WORDS)[number % len(WORDS)]
            wave, _ = speak(WORDS[word], 1 + 0.02 * number / keywords, noise, rng)
            splits[split].append(
                Utterance(
                    f"{split}-word-{number}",
                    "x.wav",
                    0,
                    len(wave),
                    split=split,
                    speaker=speakers[number % 6],
                    language="xx",
                    text=word,
                    keyword=word,
                    task="keyword",
                )
            )
            waves[split].append(wave)
    sample = torch.cat([extract(torch.from_numpy(w)[None], LOGMEL_80)[0] for w in waves["train"]])
    mean, deviation = sample.mean(0), sample.std(0)
    return ToyCorpus(
        {name: tuple(part) for name, part in splits.items()},
        {name: Store(part) for name, part in waves.items()},
        lambda wave: (extract(wave, LOGMEL_80) - mean) / deviation,
    )


class TinyTrunk(Upstream):
    """A real, small encoder over log-mel frames: two blocks with the parts that strategies look for."""

    frame_hz = 50.0
    feature_spec = LOGMEL_80

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.project = nn.Linear(160, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(depth)
        )

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        frames = LogMel().hidden_states(batch)[0]
        states = [self.project(frames)]
        for layer in self.layers:
            states.append(states[-1] + layer(states[-1]))
        return states

    def trunk_layers(self) -> list[nn.Module]:
        return list(self.layers)


@pytest.fixture(scope="session")
def toy() -> ToyCorpus:
    return make_toy()


@pytest.fixture
def trunk() -> TinyTrunk:
    torch.manual_seed(0)
    return TinyTrunk()
