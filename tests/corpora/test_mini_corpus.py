"""The embedded corpus is what its card says: sizes, disjoint splits, sound phone inventory, exact offsets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

DATA = Path(__file__).resolve().parents[2] / "data"
MINI = DATA / "mini"
MIB = 2**20
RATE = 16_000
REQUIRED = {"id", "path", "offset", "num_samples", "sample_rate", "split", "speaker", "language", "text", "task"}
OPTIONAL = {"phones", "keyword", "speaker_split", "snr_db", "rir"}
VOWELS = set("aeiouɛɔɪəʊɐɑyʌæøœ") | {"aɪ", "aʊ", "eɪ", "oʊ", "ɔɪ"}
CARD = json.loads((MINI / "card.json").read_text(encoding="utf-8"))
ENTRIES = [json.loads(line) for line in (MINI / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
SPEECH = [e for e in ENTRIES if e["task"] == "speech"]
KEYWORDS = [e for e in ENTRIES if e["task"] == "keyword"]
LABELLED = [e for e in ENTRIES if "phones" in e]


@cache
def shard(name: str) -> np.ndarray:
    samples, rate = soundfile.read(MINI / name, dtype="int16")
    assert rate == RATE
    return samples


@pytest.fixture(scope="module", autouse=True)
def forget_shards() -> Iterator[None]:
    yield
    shard.cache_clear()


def audio(entry: dict) -> np.ndarray:
    samples = shard(entry["path"])[entry["offset"] : entry["offset"] + entry["num_samples"]]
    return samples.astype(np.float32) / 32768


def of_split(split: str, entries: list[dict] = SPEECH) -> list[dict]:
    return [e for e in entries if e["split"] == split]


def minutes(entries: list[dict]) -> float:
    return sum(e["num_samples"] for e in entries) / RATE / 60


def level_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12)


def is_clean(entry: dict) -> bool:
    return "snr_db" not in entry and "rir" not in entry


def test_both_embedded_corpora_are_under_55_mib() -> None:
    files = [p for p in DATA.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert sum(p.stat().st_size for p in files) < 55 * MIB


@pytest.mark.parametrize(("split", "least"), [("pretrain", 60), ("train", 20), ("test", 10)])
def test_speech_minutes_reach_the_promise(split: str, least: float) -> None:
    assert minutes(of_split(split)) >= least


def test_there_are_at_least_40_voices_and_6_languages_in_every_split() -> None:
    assert len({e["speaker"] for e in SPEECH}) >= 40
    for split in ("pretrain", "train", "test"):
        counts = Counter(e["language"] for e in of_split(split))
        assert len(counts) >= 6
        assert max(counts.values()) <= 1.2 * min(counts.values())


def test_manifest_lines_keep_the_contract() -> None:
    assert len({e["id"] for e in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert set(entry) >= REQUIRED
        assert set(entry) <= REQUIRED | OPTIONAL
        assert entry["sample_rate"] == RATE
        assert ("phones" in entry) == (entry["split"] != "pretrain")
        assert ("keyword" in entry) == (entry["task"] == "keyword")
        assert ("speaker_split" in entry) == (entry["split"] == "train" and entry["task"] == "speech")


def test_sentences_last_between_one_and_a_half_and_eight_seconds() -> None:
    assert all(1.5 <= e["num_samples"] / RATE <= 8.0 for e in SPEECH)


def test_no_two_splits_share_a_speaker_or_a_sentence() -> None:
    for first, second in (("pretrain", "train"), ("pretrain", "test"), ("train", "test")):
        assert not {e["speaker"] for e in of_split(first, ENTRIES)} & {e["speaker"] for e in of_split(second, ENTRIES)}
        a, b = ({e["text"].casefold() for e in of_split(s)} for s in (first, second))
        assert not a & b


def test_no_sentence_is_spoken_twice() -> None:
    assert len({e["text"].casefold() for e in SPEECH}) == len(SPEECH)


def test_test_voices_come_from_variants_heard_nowhere_else() -> None:
    variants = defaultdict(set)
    for speaker in CARD["speakers"].values():
        variants[speaker["split"]].add(speaker["variant"])
    assert not variants["test"] & (variants["train"] | variants["pretrain"])
    assert {name for name, s in CARD["speakers"].items() if s["split"] == "test"} == {
        e["speaker"] for e in of_split("test", ENTRIES)
    }


def test_every_test_phone_occurs_often_enough_in_train() -> None:
    train, test = (Counter(p for e in of_split(s) for p, _, _ in e["phones"]) for s in ("train", "test"))
    assert not set(test) - set(train)
    assert min(train.values()) >= 20
    assert 40 <= len(train) <= 70
    assert dict(train) == CARD["phones"]
    keyword_phones = {p for e in KEYWORDS for p, _, _ in e["phones"]}
    assert not keyword_phones - set(train)


def test_phones_cover_each_utterance_without_gap_or_overlap() -> None:
    for entry in LABELLED:
        phones = entry["phones"]
        assert phones[0][1] == 0
        assert phones[-1][2] == pytest.approx(entry["num_samples"] / RATE, abs=0.002)
        assert phones[0][0] == phones[-1][0] == "sil"
        assert all(start < end for _, start, end in phones)
        assert all(a[2] == b[1] for a, b in pairwise(phones))
        assert all(a[0] != "sil" or b[0] != "sil" for a, b in pairwise(phones))


def test_speaker_identification_has_the_same_voices_in_both_parts() -> None:
    parts = {p: Counter(e["speaker"] for e in of_split("train") if e["speaker_split"] == p) for p in ("train", "test")}
    assert set(parts["train"]) == set(parts["test"])
    assert len(parts["train"]) >= 24
    assert min(parts["train"].values()) >= 10


def test_every_voice_says_every_command_in_both_splits() -> None:
    assert len(CARD["commands"]) >= 10
    for split in ("train", "test"):
        counts = Counter((e["speaker"], e["keyword"]) for e in of_split(split, KEYWORDS))
        assert set(counts.values()) == {2}
        assert len(counts) == len({s for s, _ in counts}) * len(CARD["commands"])


def test_every_split_is_mostly_noisy_at_all_four_ratios() -> None:
    for split in ("pretrain", "train", "test"):
        entries = of_split(split)
        assert {e["snr_db"] for e in entries if "snr_db" in e} == {5, 10, 15, 20}
        assert sum("snr_db" in e for e in entries) > 0.6 * len(entries)
        assert sum("rir" in e for e in entries) > 0.3 * len(entries)


def test_hashes_and_sizes_are_those_of_the_card() -> None:
    for name, expected in CARD["sha256"].items():
        assert hashlib.sha256((MINI / name).read_bytes()).hexdigest() == expected, name
    assert {e["path"] for e in ENTRIES} | {"manifest.jsonl"} == set(CARD["sha256"])
    for split in ("pretrain", "train", "test"):
        assert CARD["splits"][split]["minutes"] == pytest.approx(minutes(of_split(split)), abs=0.01)
        assert CARD["splits"][split]["utterances"] == len(of_split(split))


@pytest.mark.slow
def test_shards_are_nearly_silent_between_utterances() -> None:
    gap = round(CARD["gap_s"] * RATE)
    by_path = defaultdict(list)
    for entry in ENTRIES:
        by_path[entry["path"]].append(entry)
    for path, entries in by_path.items():
        samples, position = shard(path), 0
        for entry in entries:
            assert entry["offset"] == position + gap
            middle = samples[position + gap // 4 : position + 3 * gap // 4]
            assert level_db(middle / 32768) < -45
            position = entry["offset"] + entry["num_samples"]
        assert len(samples) == position + gap


@pytest.mark.slow
def test_decoded_sound_is_neither_clipped_nor_silent() -> None:
    for entry in ENTRIES:
        samples = audio(entry)
        assert np.abs(samples).max() < 1.0
        assert level_db(samples) > -45


@pytest.mark.slow
def test_alignment_agrees_with_energy_on_clean_utterances() -> None:
    entries = [e for e in LABELLED if is_clean(e)]
    assert len(entries) > 100
    margins = []
    for entry in entries:
        samples = audio(entry)
        levels: dict[str, list[np.ndarray]] = {"sil": [], "vowel": []}
        for phone, start, end in entry["phones"]:
            kind = "sil" if phone == "sil" else "vowel" if phone in VOWELS else None
            if kind and end - start > 0.03:
                levels[kind].append(samples[round((start + 0.005) * RATE) : round((end - 0.005) * RATE)])
        if levels["vowel"]:
            margins.append(level_db(np.concatenate(levels["vowel"])) - level_db(np.concatenate(levels["sil"])))
    assert min(margins) > 20
    assert np.median(margins) > 30


@pytest.mark.slow
def test_first_phone_starts_where_the_sound_starts() -> None:
    errors = []
    for entry in (e for e in of_split("test") + of_split("train") if is_clean(e)):
        samples = audio(entry)
        onset = entry["phones"][0][2]
        frames = np.abs(samples[: len(samples) // 16 * 16]).reshape(-1, 16).max(axis=1)  # 1 ms each
        first = int(np.argmax(frames > 0.05 * frames.max()))
        errors.append(first / 1000 - onset)
    assert abs(np.median(errors)) < 0.02
    assert np.percentile(errors, 5) > -0.02  # sound never begins before its label says so
