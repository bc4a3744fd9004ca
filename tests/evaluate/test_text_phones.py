"""Phones of the texts are recognised without alignments, by the real espeak-ng; without it the remedy is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenbench.config import EvaluateSection
from greenbench.errors import ConfigError
from greenbench.evaluate import evaluate
from greenbench.evaluate.characters import Alphabet
from greenbench.evaluate.controls import ShuffledCorpus
from greenbench.evaluate.g2p import available_backends, phonemize
from greenbench.evaluate.runner import Evaluation, LabelledCorpus, check_settings
from greenbench.metrics import METRICS
from greenbench.models.controls import LogMel
from tests.evaluate.conftest import ToyCorpus

needs_espeak = pytest.mark.skipif(not available_backends(), reason="neither espeak-ng nor phonemizer is installed")


def spelled(toy: ToyCorpus, language: str | None) -> ToyCorpus:
    """Return the corpus without alignments, its letters apart: a German letter is called by one phone or two."""
    splits = {
        name: tuple(replace(u, phones=None, language=language, text=" ".join(u.text or "")) for u in part)
        for name, part in toy.splits.items()
    }
    return replace(toy, splits=splits)


def run(corpus: LabelledCorpus, toy: ToyCorpus, *tasks: str) -> Evaluation:
    return evaluate(LogMel(), corpus, toy.stores, toy.featurize, EvaluateSection(tasks=tasks), seed=0)


@needs_espeak
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_phones_of_the_texts_are_recognised_and_shuffled_texts_are_not(toy: ToyCorpus) -> None:
    corpus = spelled(toy, "de")
    result = run(corpus, toy, "g2p")
    shuffled = run(ShuffledCorpus(corpus.splits, seed=1), toy, "g2p")
    assert set(result.metrics) == {"g2p_per_pct"} <= set(METRICS)
    assert result.metrics["g2p_per_pct"] < 40
    assert shuffled.metrics["g2p_per_pct"] > result.metrics["g2p_per_pct"] + 20
    details = result.tasks["g2p"]
    assert details["per_by_language_pct"] == {"de": pytest.approx(result.metrics["g2p_per_pct"], abs=0.01)}
    first = next(u for u in corpus.splits["test"] if u.task == "speech")
    assert details["examples"][0][0] == " ".join(phonemize([first.text or ""], "de")[0])


@needs_espeak
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(("language", "reason"), [(None, "add a column 'language'"), ("xx", "cannot read 'xx'")])
def test_texts_that_cannot_be_read_leave_the_task_out_and_lose_no_other_score(
    language: str | None, reason: str, toy: ToyCorpus
) -> None:
    result = run(spelled(toy, language), toy, "g2p", "characters", "effective_rank")
    assert reason in result.left_out["g2p"]
    assert "scored instead: characters" in result.left_out["g2p"]
    assert {"characters_cer_pct", "effective_rank"} <= set(result.metrics)


def test_without_espeak_the_task_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    if "phonemizer" in available_backends():
        pytest.skip("phonemizer is installed, which PATH does not hide")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"tasks: g2p needs espeak-ng.*pip install 'greenbench\[phones\]'"):
        check_settings(EvaluateSection(tasks=("g2p",)))


def test_an_alphabet_of_phones_keeps_symbols_of_several_letters_whole() -> None:
    alphabet = Alphabet([("t", "ɑː", "k"), ("t", "aɪ")])
    assert len(alphabet) == 5
    assert alphabet.decode([0, *alphabet.encode(("t", "aɪ", "?", "k")), 0]) == ["t", "aɪ", "k"]
