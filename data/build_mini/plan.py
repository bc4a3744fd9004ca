"""Who says what in which split: a list of jobs drawn once from the seed, before anything is spoken."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .grammar import COMMANDS, LANGUAGES, Grammar
from .speakers import Speaker

UTTERANCES_PER_SPEAKER = {"pretrain": 28, "train": 14, "test": 12}
SPEAKER_TEST_UTTERANCES = 4  # of each train speaker's utterances: speaker identification is tested on them
KEYWORD_TAKES = 2
CANDIDATES = 5  # sentences per utterance; the first whose duration fits is kept


@dataclass(frozen=True)
class Job:
    """One utterance to make; ``texts`` are alternatives."""

    number: int
    id: str
    shard: str
    split: str
    task: str
    speaker: Speaker
    language: str
    texts: tuple[str, ...]
    speaker_split: str | None = None


def jobs(speakers: list[Speaker], seed: int) -> list[Job]:
    """All utterances in shard order: within a split, speakers and languages take turns."""
    rng = random.Random(f"plan-{seed}")
    planned: list[Job] = []
    seen: set[str] = set()
    for split in ("pretrain", "train", "test"):
        grammars = {language: Grammar(language, held_out=split == "test") for language in LANGUAGES}
        voices = [s for s in speakers if s.split == split]
        rounds = UTTERANCES_PER_SPEAKER[split]
        for turn in range(rounds):
            for place, speaker in enumerate(voices):
                language = LANGUAGES[(place + turn) % len(LANGUAGES)]
                texts = tuple(_unseen(grammars[language], rng, seen) for _ in range(CANDIDATES))
                part = "test" if turn >= rounds - SPEAKER_TEST_UTTERANCES else "train"
                shard = f"{split}-{turn * 4 // rounds}" if split == "pretrain" else split
                planned.append(
                    Job(
                        number=len(planned),
                        id=f"{split}-{speaker.name}-{turn:02d}",
                        shard=shard,
                        split=split,
                        task="speech",
                        speaker=speaker,
                        language=language,
                        texts=texts,
                        speaker_split=part if split == "train" else None,
                    )
                )
    return planned + _keyword_jobs(speakers, len(planned))


def _unseen(grammar: Grammar, rng: random.Random, seen: set[str]) -> str:
    while True:
        text = grammar.sentence(rng)
        if text.casefold() not in seen:
            seen.add(text.casefold())
            return text


def _keyword_jobs(speakers: list[Speaker], first: int) -> list[Job]:
    planned: list[Job] = []
    for split in ("train", "test"):
        for take in range(KEYWORD_TAKES):
            for word in COMMANDS:
                for speaker in (s for s in speakers if s.split == split):
                    planned.append(
                        Job(
                            number=first + len(planned),
                            id=f"keyword-{speaker.name}-{word}-{take}",
                            shard="keyword",
                            split=split,
                            task="keyword",
                            speaker=speaker,
                            language="en",
                            texts=(word,),
                        )
                    )
    return planned
