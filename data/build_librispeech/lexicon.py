"""Pronunciations in ARPAbet: CMUdict as pocketsphinx carries it, eSpeak NG for the words it lacks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

Pronunciations = dict[str, list[tuple[str, ...]]]

_VARIANT = re.compile(r"\(\d+\)$")
_MARKS = re.compile(r"[ˈˌ\u200d\u0361]|\([a-z-]+\)")  # stress, joiners, and "(fr)" where a word is foreign
_TIMEOUT_S = 60.0
# eSpeak NG's American English (and what it keeps of French, German and Latin names) to ARPAbet; length marks, ː, are
# dropped where they make no difference. Nasal vowels and sounds that English lacks take the nearest English ones.
_ARPABET = {
    "ɑː": "AA",
    "æ": "AE",
    "ʌ": "AH",
    "ə": "AH",
    "ɐ": "AH",
    "ɔ": "AO",
    "aʊ": "AW",
    "aɪ": "AY",
    "b": "B",
    "tʃ": "CH",
    "d": "D",
    "ð": "DH",
    "ɛ": "EH",
    "ɚ": "ER",
    "ɜː": "ER",
    "eɪ": "EY",
    "f": "F",
    "ɡ": "G",
    "h": "HH",
    "ɪ": "IH",
    "ᵻ": "IH",
    "i": "IY",
    "dʒ": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "ŋ": "NG",
    "oʊ": "OW",
    "ɔɪ": "OY",
    "p": "P",
    "ɹ": "R",
    "r": "R",
    "s": "S",
    "ʃ": "SH",
    "t": "T",
    "ɾ": "T",
    "ʔ": "T",
    "θ": "TH",
    "ʊ": "UH",
    "u": "UW",
    "v": "V",
    "w": "W",
    "j": "Y",
    "z": "Z",
    "ʒ": "ZH",
    "ɑːɹ": "AA R",
    "ɔːɹ": "AO R",
    "oːɹ": "AO R",
    "ɛɹ": "EH R",
    "ɪɹ": "IH R",
    "ʊɹ": "UH R",
    "aɪɚ": "AY ER",
    "aɪə": "AY AH",
    "iə": "IY AH",
    "əl": "AH L",
    "n̩": "AH N",
    "l̩": "AH L",
    "a": "AA",
    "e": "EY",
    "o": "OW",
    "x": "K",
    "ç": "HH",
    "y": "UW",
    "œ": "ER",
    "ø": "ER",
    "ʁ": "R",
    "ɲ": "N Y",
    "ɬ": "L",
    "ɑ̃": "AA N",
    "ɔ̃": "AO N",
    "ɛ̃": "AE N",
    "nʲ": "N Y",
}


def normal(text: str) -> str:
    """Return a transcript as the dictionary spells it."""
    return text.lower()


def build_lexicon(words: Iterable[str], dictionary: Path) -> tuple[Pronunciations, list[str]]:
    """Return the pronunciations of all words and the words that eSpeak NG had to pronounce."""
    wanted = set(words)
    lexicon: Pronunciations = {}
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        entry, *phones = line.split()
        word = _VARIANT.sub("", entry)
        if word in wanted:
            lexicon.setdefault(word, []).append(tuple(phones))
    missing = sorted(wanted - set(lexicon))
    lexicon |= {word: [pronounce(word)] for word in missing}
    return lexicon, missing


def pronounce(text: str) -> tuple[str, ...]:
    """Return eSpeak NG's pronunciation of a word or sentence; raises :class:`ValueError` for a sound not listed."""
    command = ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", "en-us", "--stdin"]
    result = subprocess.run(
        command, input=text, capture_output=True, text=True, encoding="utf-8", timeout=_TIMEOUT_S, check=True
    )
    phones: list[str] = []
    for sound in re.split(r"[_\s]+", _MARKS.sub("", result.stdout).strip()):
        known = _ARPABET.get(sound) or _ARPABET.get(sound.rstrip("ː"))
        if known is None:
            raise ValueError(f"{text!r}: eSpeak NG's sound {sound!r} has no ARPAbet counterpart")
        phones += known.split()
    return tuple(phones)


def write_dictionary(lexicon: Mapping[str, list[tuple[str, ...]]], path: Path) -> None:
    """Write the lexicon in CMUdict's form, variants as ``word(2)``."""
    with path.open("w", encoding="utf-8") as file:
        for word, variants in sorted(lexicon.items()):
            for number, phones in enumerate(variants, 1):
                name = word if number == 1 else f"{word}({number})"
                file.write(f"{name} {' '.join(phones)}\n")
