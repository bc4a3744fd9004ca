"""Several corpora as one: ``folder:a + folder:b``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.once import FileIdentities
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError


def join(spec: str, corpora: Sequence[Corpus]) -> Corpus:
    """The union, split by split: what one corpus keeps for testing is never trained on.

    Ids and speakers get the corpus' name in front, since two folders may both have a speaker ``01``. Raises
    :class:`DataError` where two corpora share a name or a file.
    """
    names = [corpus.name for corpus in corpora]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"data = {spec!r}: two corpora are called {name!r}; rename one folder")
    splits = {
        split: tuple(_named(corpus.name, u) for corpus in corpora for u in corpus.splits.get(split, ()))
        for split in dict.fromkeys(split for corpus in corpora for split in corpus.splits)
    }
    extra: dict[str, object] = {}
    for key in {key for corpus in corpora for key in corpus.extra}:
        values = [corpus.extra.get(key, 0) for corpus in corpora]
        extra[key] = sum(values) if all(isinstance(v, int) for v in values) else dict(zip(names, values, strict=True))
    left_out = tuple(item for corpus in corpora for item in corpus.left_out)
    notes = tuple(note for corpus in corpora for note in corpus.notes)
    _check_files(spec, corpora)
    return Corpus("+".join(names), spec, splits, left_out, extra, notes)


def _check_files(spec: str, corpora: Sequence[Corpus]) -> None:
    """Refuse a file that two corpora hold: it would count twice, and one might test on what the other trains on."""
    identities = FileIdentities()
    owners: dict[object, str] = {}
    for corpus in corpora:
        for path in sorted({u.path for u in corpus.utterances}):
            owner = owners.setdefault(identities.of(path), corpus.name)
            if owner != corpus.name:
                raise DataError(f"data = {spec!r}: {path} is in {owner} and in {corpus.name}; name each file once")


def _named(name: str, utterance: Utterance) -> Utterance:
    speaker = None if utterance.speaker is None else f"{name}/{utterance.speaker}"
    return replace(utterance, id=f"{name}/{utterance.id}", speaker=speaker)
