"""Which utterance trains, which tests: by names where there are any, else by a hash that never moves."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from greenbench.corpora.once import connected
from greenbench.corpora.utterance import Utterance

TEST_PERCENT = 20
_PIECE = re.compile(r"#\d{4,}$")
"""What the pieces of a long recording have at the end of its id."""
_MAX_KEYWORDS, _MIN_READINGS = 64, 8


def sentence_key(text: str) -> str:
    """A text without case, punctuation and repeated spaces: two readings of a sentence have the same key."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", " ", text).split())


def bucket(key: str) -> int:
    """0..99 from a hash of the key, the same on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 100


def assign_splits(
    utterances: Sequence[Utterance],
    hints: Sequence[str | None],
    overlapping: Sequence[tuple[int, int]] = (),
    copies: Sequence[tuple[int, int]] = (),
) -> dict[str, tuple[Utterance, ...]]:
    """The splits. ``hints`` are the names the source gives (train, valid, test, pretrain) or None.

    ``overlapping`` and ``copies`` are pairs of positions that hold the same audio in part or altogether: a hash never
    puts one of them on each side, unless all there is are copies.

    Without a test or valid part a fifth of the sentences (of the ids, where there is no text) is the test split, so
    that no sentence is in both. Everything on the training side is pretrained on, unless the source has a ``pretrain``
    part of its own; ``train`` are the labelled ones among it. In a corpus of a few words read many times each (digits,
    commands) the words are keywords, and the readings are split instead.
    """
    utterances = _find_keywords(utterances)
    if "test" in hints or "valid" in hints:
        sides = _sides_by_hint(hints)
    else:
        hashed = _sides_by_hash(utterances, overlapping, copies)
        sides = [hint if hint == "pretrain" else side for hint, side in zip(hints, hashed, strict=True)]
    own_pretrain = "pretrain" in hints and "train" in sides
    splits: dict[str, list[Utterance]] = {"pretrain": [], "train": [], "test": []}
    speakers = Counter(u.speaker for u in utterances if u.speaker)
    for utterance, side in zip(utterances, sides, strict=True):
        item = replace(utterance, split=side, speaker_split=_speaker_split(utterance, speakers))
        if side in ("test", "valid"):
            splits.setdefault(side, []).append(item)
            continue
        if side == "pretrain" or not own_pretrain:
            splits["pretrain"].append(item)
        if side == "train" and _is_labelled(item):
            splits["train"].append(item)
    return {name: tuple(items) for name, items in splits.items()}


def _is_labelled(utterance: Utterance) -> bool:
    labels = (utterance.text, utterance.speaker, utterance.language, utterance.phones, utterance.keyword)
    return any(label is not None for label in labels)


def _speaker_split(utterance: Utterance, speakers: Counter[str]) -> str | None:
    if utterance.speaker_split is not None or utterance.speaker is None or len(speakers) < 2:
        return utterance.speaker_split
    return "test" if bucket(f"speaker {utterance.id}") < TEST_PERCENT else "train"


def _find_keywords(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Mark a corpus of few words with many readings as keywords."""
    texts = [sentence_key(u.text) if u.text else None for u in utterances]
    readings = Counter(texts)
    known = any(u.keyword for u in utterances) or None in readings
    if known or not 2 <= len(readings) <= _MAX_KEYWORDS or min(readings.values()) < _MIN_READINGS:
        return list(utterances)
    return [replace(u, keyword=text, task="keyword") for u, text in zip(utterances, texts, strict=True)]


def _sides_by_hint(hints: Sequence[str | None]) -> list[str]:
    has_test = "test" in hints
    return ["test" if hint == "valid" and not has_test else hint or "pretrain" for hint in hints]


def _sides_by_hash(
    utterances: Sequence[Utterance], overlapping: Sequence[tuple[int, int]], copies: Sequence[tuple[int, int]]
) -> list[str]:
    def key_of(utterance: Utterance) -> str:
        if utterance.text and utterance.task != "keyword":
            return "text " + sentence_key(utterance.text)
        # Pieces of one long file stay together: they share the room, the voice and often the sentence.
        return "id " + _PIECE.sub("", utterance.id)

    # Where some have a text, one without is of no use as a test.
    transcribed = any(u.text for u in utterances)
    alone = connected([key_of(u) for u in utterances], overlapping)
    joined = connected(alone, copies)
    keys_of = joined if len(set(joined)) > 1 else alone
    keys = {
        key for u, key in zip(utterances, keys_of, strict=True) if not transcribed or u.text or u.phones or u.keyword
    }
    test = {key for key in keys if bucket(key) < TEST_PERCENT}
    if len(keys) > 1 and len(test) in (0, len(keys)):
        # Too few sentences for a fifth to be certain of one: take the one that the hash puts first.
        test = {min(keys, key=lambda key: (bucket(key), key))}
    return ["test" if key in test else "train" for key in keys_of]
