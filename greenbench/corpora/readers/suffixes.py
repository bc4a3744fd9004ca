"""File names: what can be read as audio, which dots belong to the name, and when two names are the same."""

from __future__ import annotations

import unicodedata

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".w64", ".au", ".caf"})
UNREADABLE_SUFFIXES = frozenset({".m4a", ".aac", ".wma", ".webm", ".mp4", ".amr", ".sph"})
"""Audio that libsndfile does not read; such files are listed as left out."""
_SUFFIXES = AUDIO_SUFFIXES | UNREADABLE_SUFFIXES


def stem_of(name: str) -> str:
    """A file's name or path without the ending of an audio format; other dots belong to it (``2026-04-17T16.27``)."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in _SUFFIXES else name


def composed(text: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal names are equal; macOS writes the other one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
