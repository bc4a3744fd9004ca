"""The embedded corpus ``mini``."""

from __future__ import annotations

from pathlib import Path

from greenbench.corpora.corpus import SPLITS, Corpus
from greenbench.corpora.readers.jsonl import find_manifest, read_utterances
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError
from greenbench.resources import share


def load_mini(folder: Path | None = None) -> Corpus:
    """Load the embedded corpus; its manifest is trusted as it is (a test compares it with the shards)."""
    try:
        folder = folder or share("data") / "mini"
    except FileNotFoundError as error:
        raise DataError(f"corpus mini: {error}") from error
    manifest = find_manifest(folder)
    utterances = read_utterances(manifest)
    splits: dict[str, tuple[Utterance, ...]] = {
        name: tuple(u for u in utterances if u.split == name) for name in SPLITS
    }
    return Corpus("mini", "mini", splits, extra={"manifest": str(manifest)})
