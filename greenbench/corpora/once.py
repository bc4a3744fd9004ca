"""Each stretch of audio once, and audio that is tested on in no training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from greenbench.audio.info import AudioInfo
from greenbench.corpora.utterance import LeftOut, Utterance

_TOUCH_S = 0.01
"""Neighbouring segments whose times were rounded may overlap by so much."""
_LABELS = ("text", "speaker", "language", "keyword", "phones")
_ORDER = {"test": 0, "valid": 1}
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Hinted:
    """An utterance and the split that its source gives it."""

    utterance: Utterance
    hint: str | None


class FileIdentities:
    """Tells whether two paths lead to one file, by a link of either kind."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int] | str] = {}

    def of(self, path: str) -> tuple[int, int] | str:
        """Device and number of the file; the path itself where the file is gone."""
        if path not in self._known:
            try:
                status = Path(path).stat()
                self._known[path] = status.st_dev, status.st_ino
            except OSError:
                self._known[path] = path
        return self._known[path]


def each_once(items: Sequence[Hinted], identities: FileIdentities) -> tuple[list[Hinted], list[LeftOut]]:
    """Keep one of the items that mean the same stretch of the same channel of the same file.

    It is for testing if any of them is. Labels complete each other; where they contradict, none is kept.
    """
    groups: dict[tuple[object, ...], list[Hinted]] = {}
    for item in items:
        u = item.utterance
        groups.setdefault((identities.of(u.path), u.offset, u.num_samples, u.channel), []).append(item)
    kept, left_out = [], []
    for same in groups.values():
        if len(same) == 1:
            kept.append(same[0])
            continue
        first, problems = _joined(same)
        kept.append(first)
        left_out += problems
    return kept, left_out


def _joined(same: Sequence[Hinted]) -> tuple[Hinted, list[LeftOut]]:
    first = same[0].utterance
    hints = [item.hint for item in same]
    hint = min((h for h in hints if h is not None), key=lambda name: _ORDER.get(name, 2), default=None)
    left_out = [
        LeftOut(item.utterance.path, f"{item.utterance.id} is the same audio as {first.id} of {first.path}")
        for item in same[1:]
    ]
    labels: dict[str, Any] = {}
    for name in _LABELS:
        said = {value for item in same if (value := getattr(item.utterance, name)) is not None}
        labels[name] = next(iter(said)) if len(said) == 1 else None
        if len(said) > 1:
            left_out.append(LeftOut(first.path, f"{first.id} has several entries for {name}; none is used"))
    return Hinted(replace(first, **labels), hint), left_out


def without_tested(items: Sequence[Hinted], identities: FileIdentities) -> tuple[list[Hinted], list[LeftOut]]:
    """Leave out of training what overlaps a stretch that is tested on (or, without tests, validated on)."""
    ranks = [_ORDER.get(item.hint or "", 2) for item in items]
    if len(set(ranks)) < 2:
        return list(items), []
    beaten = {}
    for i, j in overlaps([item.utterance for item in items], identities):
        low, high = (i, j) if ranks[i] > ranks[j] else (j, i)
        if ranks[low] > ranks[high]:
            beaten[low] = items[high]
    left_out = [
        LeftOut(u.path, f"{u.id} overlaps {beaten[i].utterance.id}, which is for {_purpose(beaten[i].hint)}")
        for i, u in ((i, items[i].utterance) for i in sorted(beaten))
    ]
    return [item for i, item in enumerate(items) if i not in beaten], left_out


def _purpose(hint: str | None) -> str:
    return "testing" if hint == "test" else "validation"


def _share_a_channel(one: Utterance, other: Utterance) -> bool:
    return one.channel is None or other.channel is None or one.channel == other.channel


def overlaps(utterances: Sequence[Utterance], identities: FileIdentities) -> Iterator[tuple[int, int]]:
    """Yield all pairs of positions that hold the same audio in part: their stretches of a channel overlap."""
    for stretches, slack in _by_file(utterances, identities):
        open_ones: list[tuple[int, int]] = []
        for begin, end, i in stretches:
            open_ones = [(e, j) for e, j in open_ones if e - begin > slack]
            yield from ((j, i) for _, j in open_ones if _share_a_channel(utterances[j], utterances[i]))
            open_ones.append((end, i))


def overlap_chains(utterances: Sequence[Utterance], identities: FileIdentities) -> Iterator[tuple[int, int]]:
    """Yield pairs that join whatever overlaps into the same groups as :func:`overlaps`, without naming every pair.

    What is open on one channel at one moment overlaps anyway, so a new stretch is joined to the one that ends last:
    100,000 stretches of one file make a few hundred thousand pairs in place of a billion.
    """
    for stretches, slack in _by_file(utterances, identities):
        last: dict[int | None, tuple[int, int]] = {}
        for begin, end, i in stretches:
            channel = utterances[i].channel
            for c, (known_end, j) in last.items():
                if known_end - begin > slack and (channel is None or c is None or c == channel):
                    yield j, i
            if channel not in last or last[channel][0] < end:
                last[channel] = (end, i)


def _by_file(
    utterances: Sequence[Utterance], identities: FileIdentities
) -> Iterator[tuple[list[tuple[int, int, int]], float]]:
    """For each file with several stretches: begin, end and position of each in order, and the slack in samples."""
    spans: dict[tuple[int, int] | str, list[tuple[int, int, int]]] = {}
    for i, u in enumerate(utterances):
        spans.setdefault(identities.of(u.path), []).append((u.offset, u.offset + u.num_samples, i))
    for stretches in spans.values():
        if len(stretches) > 1:
            stretches.sort()
            yield stretches, _TOUCH_S * utterances[stretches[0][2]].sample_rate


def copies(utterances: Sequence[Utterance], infos: Mapping[str, AudioInfo]) -> list[tuple[int, int]]:
    """Pairs of positions whose stretches lie alike in files of the very same samples."""
    first: dict[tuple[object, ...], int] = {}
    pairs = []
    for i, u in enumerate(utterances):
        digest = infos[u.path].digest
        known = first.setdefault((digest, u.offset, u.num_samples, u.channel), i)
        if digest and known != i:
            pairs.append((known, i))
    return pairs


def connected(keys: Sequence[_Key], pairs: Iterable[tuple[int, int]]) -> list[_Key]:
    """Give positions that are joined by pairs, or by an equal key, one key in common: the smallest of theirs."""
    parents: dict[_Key, _Key] = {}

    def root(key: _Key) -> _Key:
        while (above := parents.get(key, key)) != key:
            key = above
        return key

    for i, j in pairs:
        one, other = root(keys[i]), root(keys[j])
        if one != other:
            small, large = sorted((one, other), key=str)
            parents[large] = small
    return [root(key) for key in keys]
