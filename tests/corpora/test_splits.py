"""No sentence is in two splits, and a split never moves."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.corpora.load import load_corpus
from greenbench.corpora.splits import assign_splits, bucket, sentence_key
from greenbench.corpora.utterance import Utterance


def utterance(name: str, text: str | None = None, **labels: str) -> Utterance:
    return Utterance(id=name, path=f"{name}.wav", offset=0, num_samples=16_000, text=text, **labels)


TEXTS = st.lists(st.text("abc ,.!?A", min_size=1, max_size=6), min_size=2, max_size=60)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_no_sentence_is_in_both_splits(texts: list[str]) -> None:
    items = [utterance(f"u{i}", text) for i, text in enumerate(texts)]
    splits = assign_splits(items, [None] * len(items))
    if any(u.task == "keyword" for part in splits.values() for u in part):
        return
    train, test = ({sentence_key(u.text or "") for u in splits[name]} for name in ("train", "test"))
    assert not train & test
    assert len(splits["train"]) + len(splits["test"]) == len(items)
    if len({sentence_key(text) for text in texts}) > 1:
        assert train
        assert test


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.randoms())
def test_the_split_does_not_depend_on_the_order(texts: list[str], random: Random) -> None:
    items = [utterance(f"u{i}", text) for i, text in enumerate(texts)]
    shuffled = list(items)
    random.shuffle(shuffled)
    one, two = (assign_splits(order, [None] * len(order)) for order in (items, shuffled))
    assert {u.id for u in one["test"]} == {u.id for u in two["test"]}


def test_case_and_punctuation_do_not_make_another_sentence() -> None:
    assert sentence_key("Well, it’s  OK!") == sentence_key("well it's ok") == sentence_key("WELL it S ok")


def test_the_hash_is_the_same_in_every_version() -> None:
    assert [bucket(text) for text in ("", "a", "text hello")] == [52, 50, 40]


def test_few_words_read_often_are_keywords_and_split_by_reading() -> None:
    items = [utterance(f"{word}-{k}", word.title(), speaker=f"s{k % 3}") for word in ("yes", "no") for k in range(40)]
    splits = assign_splits(items, [None] * 80)
    assert {u.keyword for u in splits["train"]} == {u.keyword for u in splits["test"]} == {"yes", "no"}
    assert {u.task for u in splits["train"]} == {"keyword"}
    assert 5 <= len(splits["test"]) <= 30


def test_valid_tests_only_where_there_is_no_test() -> None:
    items = [utterance(f"u{i}", f"t{i}") for i in range(4)]
    assert [u.id for u in assign_splits(items, ["train", "valid", "train", "train"])["test"]] == ["u1"]
    splits = assign_splits(items, ["train", "valid", "test", None])
    assert {name: [u.id for u in part] for name, part in splits.items()} == {
        "pretrain": ["u0", "u3"],
        "train": ["u0"],
        "valid": ["u1"],
        "test": ["u2"],
    }


def test_a_pretraining_part_of_its_own_stays_alone() -> None:
    items = [utterance(f"u{i}", f"t{i}") for i in range(3)]
    splits = assign_splits(items, ["pretrain", "train", "test"])
    assert {name: [u.id for u in part] for name, part in splits.items()} == {
        "pretrain": ["u0"],
        "train": ["u1"],
        "test": ["u2"],
    }


def test_audio_without_labels_is_pretrained_on() -> None:
    splits = assign_splits([utterance(f"u{i}") for i in range(30)], [None] * 30)
    assert not splits["train"]
    assert len(splits["pretrain"]) + len(splits["test"]) == 30
    assert splits["test"]


def test_what_has_no_transcript_is_trained_on_where_others_have_one() -> None:
    items = [utterance(f"t{i}", f"text {i}") for i in range(30)] + [utterance(f"long#{i:04}") for i in range(30)]
    splits = assign_splits(items, [None] * 60)
    assert all(u.text for u in splits["test"])
    assert sum(u.text is None for u in splits["pretrain"]) == 30
    assert all(u.text for u in splits["train"])


def test_every_speaker_is_heard_in_training_for_speaker_tasks() -> None:
    items = [utterance(f"{s}-{k}", f"text {k}", speaker=s) for s in ("anna", "ben") for k in range(40)]
    splits = assign_splits(items, [None] * 80)
    heard = {(u.speaker, u.speaker_split) for part in splits.values() for u in part}
    assert heard == {(s, side) for s in ("anna", "ben") for side in ("train", "test")}
    alone = assign_splits([utterance(f"u{k}", f"t{k}", speaker="anna") for k in range(9)], [None] * 9)
    assert {u.speaker_split for part in alone.values() for u in part} == {None}


def test_no_sentence_of_the_real_reader_is_in_both_splits(speech: Path) -> None:
    corpus = load_corpus(f"folder:{speech / 'kathleen'}")
    train, test = ({sentence_key(u.text or "") for u in corpus.split(name)} for name in ("train", "test"))
    assert len(train) > 200
    assert len(test) > 50
    assert not train & test
    assert not {u.id for u in corpus.split("pretrain")} & {u.id for u in corpus.split("test")}
