"""From what a reader listed to a corpus: audio is probed, long files are cut, splits are assigned."""

from __future__ import annotations

import itertools
from dataclasses import replace

from greenbench.audio.info import AudioInfo
from greenbench.audio.scan import probe_all
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.readers.entry import Entry, Listing
from greenbench.corpora.splits import assign_splits
from greenbench.corpora.utterance import LeftOut, Utterance
from greenbench.errors import DataError
from greenbench.progress import Progress

MIN_UTTERANCE_S = 0.1
MAX_UTTERANCE_S = 45.0
PIECE_S = 20.0


def assemble(spec: str, listing: Listing, *, progress: Progress | None = None) -> Corpus:
    """Build the corpus. Raises :class:`DataError` if nothing usable is left."""
    if not listing.entries and not listing.left_out:
        raise DataError(f"data = {spec!r}: no audio found; a file must be wav, flac, mp3, ogg, opus or aiff")
    paths = [entry.path for entry in listing.entries]
    infos = probe_all(paths, verify=not listing.trusted, progress=progress)
    left_out: list[LeftOut] = []
    utterances: list[Utterance] = []
    hints: list[str | None] = []
    seen: set[str] = set()
    cut = 0
    for entry in listing.entries:
        result = _utterances(entry, infos[entry.path], seen)
        if isinstance(result, LeftOut):
            left_out.append(result)
            continue
        cut += len(result) > 1
        utterances += result
        hints += [entry.split] * len(result)
    left_out += listing.left_out
    if not utterances:
        first = left_out[0]
        raise DataError(
            f"data = {spec!r}: none of {len(left_out)} files can be used; the first, {first.path}: {first.reason}"
        )
    splits = assign_splits(utterances, hints)
    return Corpus(listing.name, spec, splits, tuple(left_out), {"files_found": len(set(paths)), "files_cut": cut})


def _utterances(entry: Entry, info: AudioInfo, seen: set[str]) -> list[Utterance] | LeftOut:
    if info.problem is not None:
        return LeftOut(entry.path, info.problem)
    if entry.expected_samples is not None and entry.expected_samples != info.num_samples:
        return LeftOut(entry.path, f"has {info.num_samples} samples, its manifest says {entry.expected_samples}")
    offset = round(entry.offset_s * info.sample_rate)
    rest = info.num_samples - offset
    wanted = rest if entry.duration_s is None else round(entry.duration_s * info.sample_rate)
    if offset < 0 or wanted > rest + 0.05 * info.sample_rate:
        end_s = (offset + wanted) / info.sample_rate
        held_s = info.num_samples / info.sample_rate
        return LeftOut(entry.path, f"{entry.id} asks for audio up to {end_s:.2f} s, the file has {held_s:.2f} s")
    length = min(wanted, rest)
    if length < MIN_UTTERANCE_S * info.sample_rate:
        held_s = max(length, 0) / info.sample_rate
        return LeftOut(entry.path, f"{entry.id} is shorter than {MIN_UTTERANCE_S:g} s ({held_s:.3f} s)")
    if entry.id in seen:
        return LeftOut(entry.path, f"its id {entry.id!r} is already taken")
    seen.add(entry.id)
    whole = Utterance(
        id=entry.id,
        path=entry.path,
        offset=offset,
        num_samples=length,
        sample_rate=info.sample_rate,
        channels=info.channels,
        speaker=entry.speaker,
        language=entry.language,
        text=entry.text,
        keyword=entry.keyword,
        phones=entry.phones,
        speaker_split=entry.speaker_split,
        task=entry.task or ("keyword" if entry.keyword else "speech"),
    )
    return cut_long(whole)


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
