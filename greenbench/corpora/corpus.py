"""A corpus: utterances with their splits and labels, where they came from, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from greenbench.corpora.utterance import LeftOut, Utterance, fingerprint
from greenbench.errors import DataError, did_you_mean

SPLITS = ("pretrain", "train", "test")


@dataclass(frozen=True)
class Corpus:
    """Everything that was found under a ``data = …`` specification.

    ``splits`` maps ``pretrain``, ``train`` and ``test`` to utterances; an utterance may be in ``pretrain`` and in
    ``train``, never in ``test`` and one of those. ``notes`` say what was done to recordings that were kept.
    """

    name: str
    spec: str
    splits: dict[str, tuple[Utterance, ...]] = field(repr=False)
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    def split(self, name: str) -> tuple[Utterance, ...]:
        """One split's utterances; raises :class:`DataError` for an unknown name."""
        if name not in self.splits:
            raise DataError(f"corpus {self.name}: no split {name!r}{did_you_mean(name, self.splits)}")
        return self.splits[name]

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """All distinct utterances, by id."""
        return tuple({u.id: u for part in self.splits.values() for u in part}.values())

    @cached_property
    def fingerprint(self) -> str:
        """The hash over ids and lengths of all utterances."""
        return fingerprint(self.utterances)
