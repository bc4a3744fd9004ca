"""Phone recognition without alignments: phones of the texts by grapheme-to-phoneme rules, recognised by CTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from greenbench.errors import DataError
from greenbench.evaluate.characters import TextSplit, recognise, with_second_opinion
from greenbench.evaluate.context import Context, Side, TaskLeftOut, TaskResult
from greenbench.evaluate.g2p import available_backends, phones_by_id
from greenbench.evaluate.scoring import error_rate, grouped_error_pct, macro_average

if TYPE_CHECKING:
    from greenbench.corpora.utterance import Utterance

Phones = Mapping[str, tuple[str, ...]]


def text_phones(context: Context) -> TaskResult:
    """Score phones of the texts by CTC with the heads and decoder of ``characters``.

    The phones are espeak-ng's: what a dictionary says, not what was said, so the figure stands in no column with the
    one from alignments. Texts whose utterance names no language are passed over.
    """
    train, test = _split(context, context.train), _split(context, context.test)
    return with_second_opinion(context, lambda recurrent: _score(context, train, test, recurrent=recurrent))


def _score(context: Context, train: TextSplit, test: TextSplit, *, recurrent: bool) -> TaskResult:
    found, details = recognise(context, train, test, recurrent=recurrent)
    by_language = grouped_error_pct(test.sequences, found, [u.language or "" for u in test.utterances])
    pairs = list(zip(test.sequences, found, strict=True))[:3]
    return TaskResult(
        {"g2p_per_pct": error_rate(test.sequences, found).pct},
        {
            "per_by_language_pct": by_language,
            "per_macro_pct": macro_average(by_language),
            "examples": [[" ".join(reference), " ".join(hypothesis)] for reference, hypothesis in pairs],
            "phones_from": available_backends()[0],
            **details,
        },
    )


def _split(context: Context, side: Side) -> TextSplit:
    name = "train" if side is context.train else "test"
    if not any(u.text for u in side.utterances if u.task == "speech"):
        raise TaskLeftOut(f"the corpus has no texts in its {name} split")
    phones = _phones([u for u in side.utterances if u.task == "speech"])
    chosen = context.choose(side, lambda u: bool(phones.get(u.id)), sentences=True)
    if len(chosen) < 2:
        raise TaskLeftOut(f"no text of the {name} split names its language; add a column 'language' to the labels")
    utterances = [side.utterances[i] for i in chosen]
    return TextSplit([phones[u.id] for u in utterances], utterances, context.frames(side, chosen))


def _phones(utterances: list[Utterance]) -> Phones:
    try:
        return phones_by_id(utterances)
    except DataError as error:  # a language that espeak-ng does not know: no reason to lose a trained model's scores
        raise TaskLeftOut(str(error)) from error
