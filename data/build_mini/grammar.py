"""Sentences from the word lists in ``texts/``: one small template grammar per language.

Every noun phrase in a list already carries its article and ending, so that any filling of a template is
grammatical. ``{name}`` is an invented name built from syllables: it breaks up the closed vocabulary, so that
a phone recogniser cannot lean on whole words it has seen.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pl", "pt")
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_SLOT = re.compile(r"\{(\w+)\}")
_HELD_OUT_EVERY = 6  # every sixth entry of an open word list is heard in the test split only
_CLOSED = ("templates", "number", "onset", "nucleus", "coda")


def load(language: str) -> dict[str, list[str]]:
    """Read one word-list file: ``[section]`` headers, one entry a line, ``#`` starts a comment line."""
    sections: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in (TEXTS / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            entries.append(line)
    return sections


class Grammar:
    """Draw sentences of one language; ``held_out=True`` opens the entries kept for the test split."""

    def __init__(self, language: str, *, held_out: bool) -> None:
        self.sections = load(language)
        if not held_out:
            for name, entries in self.sections.items():
                if name not in _CLOSED:
                    self.sections[name] = [e for i, e in enumerate(entries) if (i + 1) % _HELD_OUT_EVERY]

    def sentence(self, rng: random.Random) -> str:
        """One sentence, first letter upper case."""
        used: set[str] = set()
        text = _SLOT.sub(lambda slot: self._fill(slot[1], rng, used), rng.choice(self.sections["templates"]))
        first = 1 if text[0] in "¿¡" else 0
        return text[:first] + text[first].upper() + text[first + 1 :]

    def _fill(self, slot: str, rng: random.Random, used: set[str]) -> str:
        for _ in range(20):
            choice = self._name(rng) if slot == "name" else rng.choice(self.sections[slot])
            if slot == "number" or choice not in used:
                break
        used.add(choice)
        return choice

    def _name(self, rng: random.Random) -> str:
        onsets, nuclei, codas = (self.sections[s][0].split() for s in ("onset", "nucleus", "coda"))
        syllables = [rng.choice(onsets) + rng.choice(nuclei) for _ in range(rng.choice((2, 2, 3)))]
        return ("".join(syllables) + (rng.choice(codas) if rng.random() < 0.5 else "")).capitalize()
