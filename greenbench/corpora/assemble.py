"""From what a reader listed to a corpus: audio is probed, long files are cut, splits are assigned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from greenbench.audio.info import AudioInfo
from greenbench.audio.scan import probe_all
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.notes import notes
from greenbench.corpora.once import FileIdentities, Hinted, copies, each_once, overlap_chains, without_tested
from greenbench.corpora.readers.entry import Entry, Listing
from greenbench.corpora.splits import assign_splits
from greenbench.corpora.utterance import LeftOut, Utterance
from greenbench.errors import DataError
from greenbench.progress import Progress

MIN_UTTERANCE_S = 0.1
MAX_UTTERANCE_S = 45.0
PIECE_S = 20.0
_LONGEST_S = 1e8  # three years: what says more is no time
_ROUNDING_S = 0.05
_CLAIM_SLACK_S, _CLAIM_SLACK = 0.5, 0.05


def assemble(spec: str, listing: Listing, *, progress: Progress | None = None) -> Corpus:
    """Build the corpus. Raises :class:`DataError` if nothing usable is left."""
    if not listing.entries and not listing.left_out:
        raise DataError(f"data = {spec!r}: no audio found; a file must be wav, flac, mp3, ogg, opus or aiff")
    paths = [entry.path for entry in listing.entries]
    infos = probe_all(paths, verify=not listing.trusted, progress=progress)
    left_out: list[LeftOut] = []
    items: list[Hinted] = []
    for entry in listing.entries:
        result = _utterance(entry, infos[entry.path])
        if isinstance(result, LeftOut):
            left_out.append(result)
        else:
            items.append(Hinted(result, entry.split))
    identities = FileIdentities()
    items, twice = each_once(items, identities)
    items, same_id = _unique_ids(items)
    cut = [[Hinted(piece, item.hint) for piece in cut_long(item.utterance)] for item in items]
    pieces = [piece for group in cut for piece in group]
    pieces, tested = without_tested(pieces, identities)
    left_out += [*twice, *same_id, *tested, *listing.left_out]
    if not pieces:
        first = left_out[0]
        raise DataError(
            f"data = {spec!r}: none of {len(left_out)} files can be used; the first, {first.path}: {first.reason}"
        )
    utterances = [item.utterance for item in pieces]
    hints = [item.hint for item in pieces]
    splits = assign_splits(utterances, hints, list(overlap_chains(utterances, identities)), copies(utterances, infos))
    extra = {"files_found": len(set(paths)), "files_cut": sum(len(group) > 1 for group in cut)}
    return Corpus(listing.name, spec, splits, tuple(left_out), extra, tuple(notes(splits, infos)))


def _unique_ids(items: Sequence[Hinted]) -> tuple[list[Hinted], list[LeftOut]]:
    kept: dict[str, Hinted] = {}
    left_out = []
    for item in items:
        utterance = item.utterance
        if utterance.id in kept:
            other = kept[utterance.id].utterance.path
            left_out.append(LeftOut(utterance.path, f"its id {utterance.id!r} is already taken by {other}"))
        else:
            kept[utterance.id] = item
    return list(kept.values()), left_out


def _utterance(entry: Entry, info: AudioInfo) -> Utterance | LeftOut:
    # The only channel of a file is its mean too.
    channel = None if entry.channel == 0 and info.channels == 1 else entry.channel
    problem = info.problem_of(channel) or _length_problem(entry, info)
    if problem is not None:
        return LeftOut(entry.path, problem)
    stretch = _stretch(entry, info)
    if isinstance(stretch, LeftOut):
        return stretch
    return Utterance(
        id=entry.id,
        path=entry.path,
        offset=stretch[0],
        num_samples=stretch[1],
        sample_rate=info.sample_rate,
        channels=info.channels,
        channel=channel,
        gain=info.gain,
        speaker=entry.speaker,
        language=entry.language,
        text=entry.text,
        keyword=entry.keyword,
        phones=entry.phones,
        speaker_split=entry.speaker_split,
        label_sets=entry.label_sets,
        task=entry.task or ("keyword" if entry.keyword else "speech"),
    )


def _length_problem(entry: Entry, info: AudioInfo) -> str | None:
    """Compare the length that a manifest states for the whole file with the file's."""
    if entry.expected_samples is not None and entry.expected_samples != info.num_samples:
        return f"has {info.num_samples} samples, its manifest says {entry.expected_samples}"
    if entry.claimed_length is not None:
        held_s = info.num_samples / info.sample_rate
        slack_s = max(_CLAIM_SLACK_S, _CLAIM_SLACK * held_s)
        claims_s = [entry.claimed_length / unit for unit in (1.0, 1000.0, info.sample_rate)]
        if all(abs(claim_s - held_s) > slack_s for claim_s in claims_s):
            return f"lasts {held_s:.2f} s, its table says {entry.claimed_length:g}"
    return None


def _stretch(entry: Entry, info: AudioInfo) -> tuple[int, int] | LeftOut:
    """The first sample and the number of samples that an entry asks for, at the file's rate."""
    if max(entry.offset_s, entry.duration_s or 0.0) > _LONGEST_S:
        return LeftOut(entry.path, f"{entry.id} asks for {max(entry.offset_s, entry.duration_s or 0.0):g} s of audio")
    offset = round(entry.offset_s * info.sample_rate)
    rest = info.num_samples - offset
    slack = _ROUNDING_S * info.sample_rate
    wanted = rest if entry.duration_s is None else round(entry.duration_s * info.sample_rate)
    if offset < 0 or wanted > rest + slack:
        end_s = (offset + wanted) / info.sample_rate
        held_s = info.num_samples / info.sample_rate
        return LeftOut(entry.path, f"{entry.id} asks for audio up to {end_s:.2f} s, the file has {held_s:.2f} s")
    # A rounded duration of a whole file cuts nothing off it.
    length = rest if offset == 0 and abs(wanted - rest) <= slack else min(wanted, rest)
    if length < MIN_UTTERANCE_S * info.sample_rate:
        held_s = max(length, 0) / info.sample_rate
        return LeftOut(entry.path, f"{entry.id} is shorter than {MIN_UTTERANCE_S:g} s ({held_s:.3f} s)")
    return offset, length


def cut_long(utterance: Utterance) -> list[Utterance]:
    """Cut an utterance of more than 45 s into equal pieces of about 20 s, by offsets; nothing is rewritten.

    The pieces have no text and no phones, because nobody knows which words fall into which piece.
    """
    if utterance.duration_s <= MAX_UTTERANCE_S:
        return [utterance]
    pieces = round(utterance.duration_s / PIECE_S)
    bounds = [utterance.num_samples * k // pieces for k in range(pieces + 1)]
    return [
        replace(
            utterance,
            id=f"{utterance.id}#{k:04d}",
            offset=utterance.offset + begin,
            num_samples=end - begin,
            text=None,
            phones=None,
            keyword=None,
            task="speech",
        )
        for k, (begin, end) in enumerate(itertools.pairwise(bounds))
    ]
