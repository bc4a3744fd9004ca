"""Error rates by edit distance, over a whole test set and per group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class ErrorRate:
    """``errors`` edits over ``length`` reference tokens."""

    errors: int
    length: int

    @property
    def pct(self) -> float:
        """Errors per 100 reference tokens; above 100 where insertions abound."""
        return 100.0 * self.errors / max(self.length, 1)


def error_rate(references: Sequence[Sequence[Hashable]], hypotheses: Sequence[Sequence[Hashable]]) -> ErrorRate:
    """Substitutions, insertions and deletions over all reference tokens (micro average)."""
    pairs = list(zip(references, hypotheses, strict=True))
    return ErrorRate(sum(Levenshtein.distance(r, h) for r, h in pairs), sum(len(r) for r, _ in pairs))


def grouped_error_pct(
    references: Sequence[Sequence[Hashable]], hypotheses: Sequence[Sequence[Hashable]], groups: Sequence[str]
) -> dict[str, float]:
    """The error rate of each group (a language, a speaker), sorted by name."""
    members: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    return {
        group: round(error_rate([references[p] for p in at], [hypotheses[p] for p in at]).pct, 3)
        for group, at in sorted(members.items())
    }


def macro_average(per_group: dict[str, float]) -> float:
    """The unweighted mean over groups."""
    return round(float(np.mean(list(per_group.values()))), 3)


def macro_metric(name: str, per_group: dict[str, float]) -> dict[str, float]:
    """The macro average as a metric; nothing where there is one language: it would say the same twice."""
    return {name: macro_average(per_group)} if len(per_group) > 1 else {}
