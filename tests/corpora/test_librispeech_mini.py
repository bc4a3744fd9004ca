"""The embedded corpus of real speech is what its card says: disjoint speakers, sound phone times, exact offsets."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench.corpora.load import load_corpus
from greenbench.units import SAMPLE_RATE

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
FOLDER = Path(__file__).resolve().parents[2] / "data" / "librispeech-mini"
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
with gzip.open(FOLDER / "manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
    ENTRIES = [json.loads(line) for line in lines]
SPEECH = [e for e in ENTRIES if e["task"] == "speech"]
KEYWORDS = [e for e in ENTRIES if e["task"] == "keyword"]
REQUIRED = {"id", "path", "offset", "num_samples", "sample_rate", "split", "speaker", "language", "text", "task"}
OPTIONAL = {"phones", "keyword", "speaker_split", "label_sets"}
VOWELS = set(_VOWELS.split())
ARPABET = VOWELS | set(_CONSONANTS.split())


def of_split(split: str, entries: list[dict]) -> list[dict]:
    return [e for e in entries if e["split"] == split]


def minutes(entries: list[dict]) -> float:
    return sum(e["num_samples"] for e in entries) / SAMPLE_RATE / 60


def test_manifest_lines_keep_the_contract() -> None:
    assert len({e["id"] for e in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert set(entry) >= REQUIRED
        assert set(entry) <= REQUIRED | OPTIONAL
        assert ("keyword" in entry) == (entry["task"] == "keyword")


def test_no_two_splits_share_a_speaker() -> None:
    speakers = {split: {e["speaker"] for e in of_split(split, ENTRIES)} for split in ("train", "valid", "test")}
    assert [len(s) for s in speakers.values()] == [21, 3, 4]
    assert not any(speakers[a] & speakers[b] for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")))


def test_pretraining_hears_the_train_speakers_only() -> None:
    corpus = load_corpus("librispeech-mini")
    assert {u.id for u in corpus.split("pretrain")} == {e["id"] for e in of_split("train", SPEECH)}
    assert {u.id for u in corpus.split("valid")} == {e["id"] for e in of_split("valid", ENTRIES)}
    heard = {u.speaker for u in corpus.split("pretrain")}
    assert not heard & {u.speaker for name in ("valid", "test") for u in corpus.split(name)}


def test_label_sets_last_as_long_as_their_names_say_and_hear_every_train_speaker() -> None:
    sets = {name: [e for e in SPEECH if name in e.get("label_sets", ())] for name in ("10min", "1h")}
    assert minutes(sets["10min"]) == pytest.approx(10, abs=0.5)
    assert minutes(sets["1h"]) == pytest.approx(60, abs=1)
    assert {e["id"] for e in sets["10min"]} < {e["id"] for e in sets["1h"]}
    for entries in sets.values():
        assert {e["split"] for e in entries} == {"train"}
        assert len({e["speaker"] for e in entries}) == 21


def test_phones_are_arpabet_and_cover_each_utterance_without_gap_or_overlap() -> None:
    for entry in (e for e in SPEECH if "phones" in e):
        phones = entry["phones"]
        assert {p for p, _, _ in phones} <= ARPABET | {"sil"}
        assert phones[0][1] == 0
        assert phones[-1][2] == pytest.approx(entry["num_samples"] / SAMPLE_RATE, abs=0.002)
        assert all(start < end for _, start, end in phones)
        assert all(a[2] == b[1] for a, b in pairwise(phones))
        assert all(a[0] != "sil" or b[0] != "sil" for a, b in pairwise(phones))


def test_all_39_phones_occur_often_in_train_and_test_brings_no_other() -> None:
    train, test = (
        Counter(p for e in of_split(s, SPEECH) for p, _, _ in e.get("phones", ())) for s in ("train", "test")
    )
    assert set(train) == ARPABET | {"sil"} >= set(test)
    assert min(train.values()) >= 50
    assert dict(train) == CARD["phones"]


def test_speaker_identification_has_the_same_speakers_in_both_parts() -> None:
    parts = {p: Counter(e["speaker"] for e in SPEECH if e.get("speaker_split") == p) for p in ("train", "test")}
    assert len(parts["train"]) == 21
    assert set(parts["train"]) == set(parts["test"])
    assert min(parts["train"].values()) >= 5
    assert min(parts["test"].values()) >= 3


def test_keywords_are_frequent_words_of_their_sentences() -> None:
    sentences = {e["id"]: e for e in SPEECH}
    counts = Counter((e["keyword"], e["split"]) for e in KEYWORDS)
    assert len({word for word, _ in counts}) >= 20
    for entry in KEYWORDS:
        sentence = sentences[entry["id"].rpartition("-w")[0]]
        assert entry["keyword"] in sentence["text"].lower().split()
        assert entry["path"] == sentence["path"]
        assert sentence["offset"] <= entry["offset"]
        assert entry["offset"] + entry["num_samples"] <= sentence["offset"] + sentence["num_samples"]
    assert all(counts[word, "train"] >= 30 and counts[word, "test"] >= 10 for word, _ in counts)


def test_hashes_and_sizes_are_those_of_the_card() -> None:
    for name, expected in CARD["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected, name
    assert {e["path"] for e in ENTRIES} | {"manifest.jsonl.gz"} == set(CARD["sha256"])
    assert CARD["hours"] == pytest.approx(minutes(SPEECH) / 60, abs=0.001)
    for split in ("train", "valid", "test"):
        assert CARD["splits"][split]["minutes"] == pytest.approx(minutes(of_split(split, SPEECH)), abs=0.01)
        assert CARD["splits"][split]["utterances"] == len(of_split(split, SPEECH))


def test_licence_and_attribution_travel_with_it() -> None:
    assert CARD["license"] == "CC-BY-4.0"
    text = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for needed in ("Panayotov", "openslr.org/31", "creativecommons.org/licenses/by/4.0", "Changes"):
        assert needed in text


def sound_of(entries: list[dict]) -> list[np.ndarray]:
    with soundfile.SoundFile(FOLDER / entries[0]["path"]) as file:
        samples = file.read(dtype="float32")
    return [samples[e["offset"] : e["offset"] + e["num_samples"]] for e in entries]


def test_vowels_are_louder_than_silence_where_the_manifest_puts_them() -> None:
    """One shard: its offsets and its phone times would not both fit the sound by chance."""
    shard = of_split("valid", SPEECH)
    shard = [e for e in shard if e["path"] == shard[0]["path"]]
    margins = []
    for entry, samples in zip(shard, sound_of(shard), strict=True):
        assert len(samples) == entry["num_samples"]
        levels: dict[str, list[np.ndarray]] = {"sil": [], "vowel": []}
        for phone, start, end in entry["phones"]:
            kind = "sil" if phone == "sil" else "vowel" if phone in VOWELS else None
            if kind and end - start > 0.03:
                levels[kind].append(samples[round((start + 0.01) * SAMPLE_RATE) : round((end - 0.01) * SAMPLE_RATE)])
        if levels["sil"]:
            quiet, loud = (float(np.mean(np.concatenate(levels[kind]) ** 2)) for kind in ("sil", "vowel"))
            margins.append(10 * np.log10(loud / max(quiet, 1e-10)))
    assert len(margins) > 100
    assert np.median(margins) > 20
    assert np.percentile(margins, 5) > 10
