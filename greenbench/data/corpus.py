"""A corpus: utterances with their splits and labels, where they came from, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from greenbench.data.utterance import LeftOut, Utterance, fingerprint
from greenbench.errors import DataError, did_you_mean

__all__ = ["Corpus", "LeftOut", "Utterance", "fingerprint", "load_corpus"]

SPLITS = ("pretrain", "train", "test")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Corpus:
    """Everything that was found under a ``data = …`` specification.

    ``splits`` maps ``pretrain``, ``train`` and ``test`` to utterances; an utterance may be in ``pretrain`` and in
    ``train``, never in ``test`` and one of those.
    """

    name: str
    spec: str
    splits: dict[str, tuple[Utterance, ...]] = field(repr=False)
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    def split(self, name: str) -> tuple[Utterance, ...]:
        """Return one split's utterances; raises :class:`DataError` for an unknown name."""
        if name not in self.splits:
            raise DataError(f"corpus {self.name}: no split {name!r}{did_you_mean(name, self.splits)}")
        return self.splits[name]

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """Return all distinct utterances, by id."""
        return tuple({u.id: u for part in self.splits.values() for u in part}.values())

    @cached_property
    def fingerprint(self) -> str:
        """Return the hash over ids and lengths of all utterances."""
        return fingerprint(self.utterances)

    def describe(self) -> dict[str, Any]:
        """Return a summary as plain data: hours, speakers, languages, rates, lengths, labels, what was left out."""
        from greenbench.data.summary import summarise

        return summarise(self)


def load_corpus(spec: str, *, progress: Progress | None = None) -> Corpus:
    """Load what a suite's ``data`` names: ``mini``, ``folder:PATH``, ``manifest:FILE``, ``librispeech:SUBSET``, ….

    ``A + B`` joins corpora, each with the splits it has alone. ``progress(text, fraction)`` reports a long scan.
    Raises :class:`DataError` for an unknown name, a missing path and where nothing usable is found.
    """
    from greenbench.data.readers import READERS
    from greenbench.data.readers.mini import load_mini

    parts = [part.strip() for part in spec.split(" + ")]
    if len(parts) > 1:
        from greenbench.data.joined import join

        return join(spec, [load_corpus(part, progress=progress) for part in parts])
    kind, separator, argument = spec.partition(":")
    if spec == "mini":
        return load_mini()
    if kind not in READERS or not separator or not argument:
        known = ["mini", *(f"{name}:{reader.argument}" for name, reader in READERS.items())]
        raise DataError(f"data = {spec!r} is no known corpus{did_you_mean(spec, known)}")
    from greenbench.data.assemble import assemble

    return assemble(spec, READERS[kind].read(argument), progress=progress)


def count(values: list[Any]) -> dict[str, int]:
    """Return how often each value occurs, the most frequent first."""
    return {str(value): number for value, number in Counter(values).most_common()}
