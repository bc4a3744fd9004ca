"""The embedded corpora: those that travel with the package, each with shards, a manifest and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from greenbench.corpora.corpus import SPLITS, Corpus
from greenbench.corpora.readers.jsonl import find_manifest, read_utterances
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError
from greenbench.resources import share

EMBEDDED = {
    "librispeech-mini": "real: English audiobooks (LibriSpeech train-clean-5), 28 readers",
    "mini": "synthetic: eight languages, 88 voices, exact phone times",
}
"""The embedded corpora by name, and what each holds."""


def load_embedded(name: str, folder: Path | None = None) -> Corpus:
    """Load an embedded corpus; its manifest is trusted as it is (a test compares it with the shards).

    Where a corpus has no unlabelled part of its own, all speech of the train split is pretrained on. A ``valid`` split
    is neither trained nor tested on unless it is asked for.
    """
    manifest = find_manifest(folder or _folder(name))
    utterances = read_utterances(manifest)
    splits: dict[str, tuple[Utterance, ...]] = {
        split: tuple(u for u in utterances if u.split == split) for split in SPLITS
    }
    if not splits["pretrain"]:
        splits["pretrain"] = tuple(u for u in splits["train"] if u.task == "speech")
    if valid := tuple(u for u in utterances if u.split == "valid"):
        splits["valid"] = valid
    return Corpus(name, name, splits, extra={"manifest": str(manifest)})


def read_card(name: str) -> dict[str, Any]:
    """An embedded corpus' card: what it holds, how it was made, its licence and the hashes of its files."""
    path = _folder(name) / "card.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); reinstall greenbench") from error


def _folder(name: str) -> Path:
    try:
        return share("data") / name
    except FileNotFoundError as error:
        raise DataError(f"corpus {name}: {error}") from error
