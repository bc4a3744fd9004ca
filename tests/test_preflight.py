"""What cannot be scored is said before anything is trained."""

from __future__ import annotations

from greenbench.config import EvaluateSection
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.preflight import unscorable


def corpus(**labels: str) -> Corpus:
    def utterance(split: str) -> Utterance:
        return Utterance(id=split, path=f"{split}.wav", offset=0, num_samples=16_000, split=split, **labels)

    return Corpus("toy", "toy", {split: (utterance(split),) for split in ("pretrain", "train", "test")})


def test_audio_without_labels_is_said_to_end_without_an_error_figure() -> None:
    problem = unscorable(EvaluateSection(tasks=("phones", "language")), corpus())
    assert problem is not None
    assert "phones, language" in problem
    assert "toy" in problem


def test_a_fallback_that_the_labels_allow_counts() -> None:
    assert unscorable(EvaluateSection(tasks=("phones",)), corpus(text="one two")) is None
    assert unscorable(EvaluateSection(tasks=("phones",)), corpus(speaker="anna")) is None


def test_tasks_without_labels_are_always_possible() -> None:
    assert unscorable(EvaluateSection(tasks=("effective_rank",)), corpus()) is None
