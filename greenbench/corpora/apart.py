"""The corpus that is learnt from and the one that is scored: what one tests on, the other does not train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.corpora.once import FileIdentities, Hinted, without_tested
from greenbench.corpora.utterance import Utterance

_HELD_OUT = ("test", "valid")


def load_both(
    data: str, evaluate_data: str | None, progress: Callable[[str, float | None], None] | None = None
) -> tuple[Corpus, Corpus]:
    """The corpus to learn from, and the one to score on (the same one where none is named).

    Raises:
        DataError: see ``load_corpus``.
    """
    corpus = load_corpus(data, progress=progress)
    if not evaluate_data or evaluate_data in (data, corpus.spec):
        return corpus, corpus
    scored = load_corpus(evaluate_data, progress=progress)
    return apart_from(corpus, scored), scored


def apart_from(corpus: Corpus, scored: Corpus) -> Corpus:
    """Leave out of a corpus' training splits what overlaps a stretch that another one holds for testing."""
    held_out = [Hinted(u, split) for split in _HELD_OUT for u in scored.splits.get(split, ())]
    kept: dict[str, tuple[Utterance, ...]] = {}
    left_out = list(corpus.left_out)
    for name, utterances in corpus.splits.items():
        if name in _HELD_OUT:
            continue
        items = [*(Hinted(u, None) for u in utterances), *held_out]
        rest, beaten = without_tested(items, FileIdentities())
        kept[name] = tuple(item.utterance for item in rest if item.hint is None)
        left_out += [replace(item, reason=f"{item.reason} in {scored.name}") for item in beaten]
    splits = {name: kept.get(name, part) for name, part in corpus.splits.items()}
    return replace(corpus, splits=splits, left_out=tuple(dict.fromkeys(left_out)))
