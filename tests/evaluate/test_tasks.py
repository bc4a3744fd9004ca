"""Tasks learn what the sound says, repeat their figures, fall to chance on shuffled labels, say what is left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from greenbench.config import EvaluateSection
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.errors import ConfigError
from greenbench.evaluate import evaluate
from greenbench.evaluate.characters import score_texts
from greenbench.evaluate.controls import ShuffledCorpus
from greenbench.evaluate.runner import Evaluation, LabelledCorpus
from greenbench.evaluate.utterances import guess_error_pct
from greenbench.features.extract import extract
from greenbench.features.spec import LOGMEL_80
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import prepare_waveforms
from greenbench.metrics import METRICS
from greenbench.models.controls import LogMel
from greenbench.preflight import check_labels
from tests.evaluate.conftest import ToyCorpus

CLASSIFIED = ("keywords", "speaker", "language")


def run(corpus: LabelledCorpus, toy: ToyCorpus, *, seed: int = 0, **settings: Any) -> Evaluation:
    return evaluate(LogMel(), corpus, toy.stores, toy.featurize, EvaluateSection(**settings), seed=seed)


@pytest.fixture(scope="module")
def all_tasks(toy: ToyCorpus) -> Evaluation:
    tasks = ("phones", *CLASSIFIED, "pnmi", "abx", "effective_rank")
    return run(toy, toy, tasks=tasks)


def test_sounds_that_differ_are_told_apart(all_tasks: Evaluation) -> None:
    metrics = all_tasks.metrics
    assert metrics["phones_per_pct"] < 15
    assert metrics["phones_frame_error_pct"] < 15
    assert metrics["keywords_error_pct"] <= 10
    assert metrics["language_error_pct"] <= 20
    assert metrics["abx_error_pct"] < 5
    assert metrics["pnmi"] > 0.6
    assert not all_tasks.left_out


def test_every_metric_is_registered_and_every_task_explains_itself(all_tasks: Evaluation) -> None:
    assert set(all_tasks.metrics) <= set(METRICS)
    assert set(all_tasks.tasks) == {"phones", *CLASSIFIED, "pnmi", "abx", "effective_rank"}
    phones = all_tasks.tasks["phones"]
    assert set(phones["per_by_language_pct"]) == {"xx", "yy"}
    assert phones["per_macro_pct"] == pytest.approx(sum(phones["per_by_language_pct"].values()) / 2, abs=0.01)
    assert phones["evaluate_s"] > 0


def test_the_mean_over_languages_is_a_metric_where_there_are_two(toy: ToyCorpus, all_tasks: Evaluation) -> None:
    assert all_tasks.metrics["phones_per_macro_pct"] == all_tasks.tasks["phones"]["per_macro_pct"]
    one = replace(toy, splits={k: tuple(replace(u, language="xx") for u in v) for k, v in toy.splits.items()})
    assert "phones_per_macro_pct" not in run(one, toy, tasks=("phones",)).metrics
    texts, languages = ["ab", "abcd"], ["xx", "yy"]
    metrics, details = score_texts(texts, ["aa", "abcd"], languages)
    assert metrics["characters_cer_macro_pct"] == details["cer_macro_pct"] == 25.0
    assert metrics["characters_cer_pct"] == pytest.approx(100 / 6)
    assert "characters_cer_macro_pct" not in score_texts(texts, texts, ["xx", "xx"])[0]


def test_the_same_seed_gives_the_same_figures(toy: ToyCorpus, all_tasks: Evaluation) -> None:
    again = run(toy, toy, tasks=("phones", *CLASSIFIED, "pnmi"))
    for name, value in again.metrics.items():
        assert value == all_tasks.metrics[name]


def test_shuffled_labels_reach_chance_in_every_classification_task(toy: ToyCorpus, all_tasks: Evaluation) -> None:
    result = run(toy, toy, tasks=("phones", *CLASSIFIED, "effective_rank"), shuffled=True)
    found = result.tasks["shuffled"]["tasks"]
    assert set(found) == {"phones", *CLASSIFIED}
    for name, entry in found.items():
        assert entry["low_pct"] < entry["guess_error_pct"] < entry["high_pct"]
        assert entry["error_pct"] >= entry["low_pct"], name
    assert found["phones"]["error_pct"] > all_tasks.metrics["phones_frame_error_pct"] + 40
    # The real labels give the figures that they give without the control.
    for name, value in result.metrics.items():
        assert value == all_tasks.metrics[name]


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_the_mean_over_dealing_the_same_answers_anew(seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers, wanted = rng.integers(0, 3, 40), rng.integers(-1, 4, 40)
    dealt = [100.0 * float((rng.permutation(answers) != wanted).mean()) for _ in range(4000)]
    assert guess_error_pct(answers, wanted) == pytest.approx(np.mean(dealt), abs=0.5)
    assert guess_error_pct(np.zeros(4, int), np.array([0, 0, 1, -1])) == 50.0


def test_shuffling_leaves_no_silence_between_segments_in_place(toy: ToyCorpus) -> None:
    holes = tuple(
        replace(u, phones=tuple(p for p in u.phones if p[0] != "sil")) if u.phones else u for u in toy.split("train")
    )
    dealt = ShuffledCorpus({"train": holes, "test": toy.split("test")}, seed=1).split("train")
    for before, after in zip(holes, dealt, strict=True):
        if before.phones:
            assert after.phones is not None
            assert after.phones[0][1] == 0.0
            assert after.phones[-1][2] == pytest.approx(before.duration_s, abs=0.01)
            assert all(a[2] == b[1] for a, b in pairwise(after.phones))
    spoken = [p[0] for u in dealt for p in u.phones or ()]
    assert spoken.count("a") == sum(p[0] == "a" for u in holes for p in u.phones or ())


@pytest.mark.slow
def test_shuffled_labels_reach_chance_on_the_embedded_corpus() -> None:
    corpus = load_corpus("mini")
    stores = prepare_waveforms(corpus, workers=1, progress=None)
    model = LogMel()
    assert model.feature_spec is not None
    features = FeatureStore.compute(stores["pretrain"], model.feature_spec)
    settings = EvaluateSection(tasks=("phones", *CLASSIFIED), shuffled=True)
    result = evaluate(
        model, corpus, stores, lambda wave: features.normalise(extract(wave, LOGMEL_80)), settings, seed=0
    )
    for name, entry in result.tasks["shuffled"]["tasks"].items():
        assert entry["at_chance"], (name, entry)
        assert entry["answers"] >= 100


@pytest.mark.slow
def test_the_recurrent_head_is_a_second_opinion(toy: ToyCorpus) -> None:
    both = run(toy, toy, tasks=("phones",), heads=("linear", "recurrent"))
    again = run(toy, toy, tasks=("phones",), heads=("linear", "recurrent"))
    assert both.metrics == again.metrics
    assert both.metrics["phones_recurrent_per_pct"] < 30
    assert both.tasks["phones"]["recurrent"]["best_epoch"] >= 1


@pytest.mark.slow
def test_without_alignments_characters_are_scored_instead(toy: ToyCorpus) -> None:
    bare = replace(toy, splits={k: tuple(replace(u, phones=None) for u in v) for k, v in toy.splits.items()})
    result = run(bare, toy, tasks=("phones",))
    assert "scored instead: characters" in result.left_out["phones"]
    shuffled = run(ShuffledCorpus(bare.splits, seed=1), toy, tasks=("phones",))
    assert result.metrics["characters_cer_pct"] < 35
    assert shuffled.metrics["characters_cer_pct"] > result.metrics["characters_cer_pct"] + 25
    assert "phones_per_pct" not in result.metrics


def test_tasks_without_labels_are_left_out_with_their_reason(toy: ToyCorpus) -> None:
    bare = {"phones": None, "text": None, "speaker": None, "language": "xx", "keyword": None, "task": "speech"}
    nameless = replace(toy, splits={k: tuple(replace(u, **bare) for u in v) for k, v in toy.splits.items()})
    result = run(nameless, toy, tasks=("phones", *CLASSIFIED, "effective_rank"))
    assert set(result.left_out) == {"phones", "characters", *CLASSIFIED}
    assert "instead" not in result.left_out["phones"]
    assert "texts" in result.left_out["characters"]
    assert set(result.metrics) == {"effective_rank"}


def test_unknown_names_are_refused_with_the_nearest_known_one(toy: ToyCorpus) -> None:
    for settings, message in (
        ({"tasks": ("phone",)}, "did you mean 'phones'"),
        ({"heads": ("linar",)}, "did you mean 'linear'"),
        ({"transfer": ("lorra",)}, "did you mean 'lora'"),
        ({"transfer_tasks": ("keyword",)}, "did you mean 'keywords'"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(toy, toy, **settings)


def with_label_sets(toy: ToyCorpus) -> ToyCorpus:
    """Mark every fourth training sentence as the limited set ``quarter``, and let a third split repeat the test's."""
    train = tuple(
        replace(u, label_sets=("quarter",)) if u.task == "speech" and i % 4 == 0 else u
        for i, u in enumerate(toy.split("train"))
    )
    valid = tuple(replace(u, split="valid") for u in toy.split("test"))[:10]
    stores = toy.stores | {"valid": toy.stores["test"]}
    return ToyCorpus(toy.splits | {"train": train, "valid": valid}, stores, toy.featurize)


def test_a_limited_set_of_labels_is_all_that_a_task_on_sentences_trains_on(toy: ToyCorpus) -> None:
    marked = with_label_sets(toy)
    tasks = ("phones", "keywords", "speaker")
    few = run(marked, marked, tasks=tasks, labels="quarter", max_train_seconds=30.0).tasks
    assert few["phones"]["train_utterances"] == 15
    every = run(marked, marked, tasks=("phones",), labels="all", max_train_seconds=30.0).tasks
    assert every["phones"]["train_utterances"] == 60
    limited = run(marked, marked, tasks=tasks, max_train_seconds=30.0).tasks
    for task in ("keywords", "speaker"):  # words and voices have splits of their own
        assert few[task]["train_utterances"] == limited[task]["train_utterances"]


def test_recipes_can_be_chosen_on_the_valid_split(toy: ToyCorpus) -> None:
    marked = with_label_sets(toy)
    assert run(marked, marked, tasks=("phones",), split="valid").tasks["phones"]["test_utterances"] == 10
    assert run(marked, marked, tasks=("phones",)).tasks["phones"]["test_utterances"] == 30


def test_labels_that_a_corpus_lacks_are_refused_before_anything_is_trained(toy: ToyCorpus) -> None:
    marked, plain = (Corpus("toy", "toy", corpus.splits) for corpus in (with_label_sets(toy), toy))
    check_labels(EvaluateSection(labels="quarter", split="valid"), marked)
    with pytest.raises(ConfigError, match=r"labels = 'quartre': corpus toy .* did you mean 'quarter'"):
        check_labels(EvaluateSection(labels="quartre"), marked)
    with pytest.raises(ConfigError, match=r"split = 'valid': corpus toy has train, test"):
        check_labels(EvaluateSection(split="valid"), plain)


def test_limits_of_seconds_cut_the_same_utterances_every_time(toy: ToyCorpus) -> None:
    first = run(toy, toy, tasks=("phones",), max_train_seconds=20.0, max_test_seconds=10.0).tasks["phones"]
    second = run(toy, toy, tasks=("phones",), max_train_seconds=20.0, max_test_seconds=10.0, seed=5).tasks["phones"]
    assert first["train_s"] <= 20.0
    assert first["test_s"] <= 10.0
    assert first["train_utterances"] == second["train_utterances"] < 60
