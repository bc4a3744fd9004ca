"""How far the aligned phones differ from those that eSpeak NG gives the same sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rapidfuzz.distance import Levenshtein

from .align import SILENCE, Alignment
from .lexicon import normal, pronounce
from .source import Recording

# Differences of notation between the two rather than of sound: each pair counts as one phone.
_SAME = {"AO": "AA", "ZH": "SH", "IH": "AH", "UH": "UW"}
_LISTED = 12


def phone_error(recordings: Sequence[Recording], alignments: Mapping[str, Alignment]) -> dict[str, object]:
    """Return the edits between both, in percent of the aligned phones, as they are and without near-synonyms."""
    totals = {"phones": 0, "edits": 0, "edits_broad": 0}
    pairs: Counter[str] = Counter()
    for recording in recordings:
        first = [p for p, _, _ in alignments[recording.id].segments if p != SILENCE]
        second = list(pronounce(normal(recording.text)))
        totals["phones"] += len(first)
        totals["edits"] += Levenshtein.distance(first, second)
        totals["edits_broad"] += Levenshtein.distance(_broad(first), _broad(second))
        for edit in Levenshtein.editops(first, second):
            one = first[edit.src_pos] if edit.tag != "insert" else "-"
            two = second[edit.dest_pos] if edit.tag != "delete" else "-"
            pairs[f"{one} {two}"] += 1
    return {
        "utterances": len(recordings),
        "phone_error_pct": round(100.0 * totals["edits"] / totals["phones"], 2),
        "phone_error_broad_pct": round(100.0 * totals["edits_broad"] / totals["phones"], 2),
        "commonest": dict(pairs.most_common(_LISTED)),
    }


def _broad(phones: Sequence[str]) -> list[str]:
    return [_SAME.get(phone, phone) for phone in phones]
