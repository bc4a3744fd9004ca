"""Build the corpus ``librispeech-mini``: ``python -m data.build_librispeech --source FOLDER`` from the checkout's top.

Needs ``pip install pocketsphinx pyfoal --no-deps`` (a dictionary and acoustic models: nothing is downloaded at run
time), the program espeak-ng, and this project's own dependencies. See :mod:`.source` for what the folder holds.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

from .align import SAMPLE_RATE, Alignment
from .corpus import (
    CARD,
    MANIFEST,
    hashes,
    label_sets,
    manifest_lines,
    phone_counts,
    statistics,
    write_manifest,
    write_shards,
)
from .labels import keywords, speaker_split
from .lexicon import build_lexicon, normal
from .report import alignment_figures, sample
from .source import Recording, read_source
from .work import align_again, align_all


def _labels(recordings: list[Recording], work: Path, workers: int) -> tuple[dict[str, Alignment], dict[str, object]]:
    """Return the alignments to ship and the figures about them."""
    from pocketsphinx import get_model_path

    words = {word for recording in recordings for word in normal(recording.text).split()}
    lexicon, pronounced = build_lexicon(words, Path(get_model_path("en-us/cmudict-en-us.dict")))
    first = align_all(recordings, lexicon, work, workers=workers)
    train, test = sample(recordings, first)
    second = align_again([*train, *test], first, work, workers=workers)
    return first, alignment_figures(recordings, first, second, pronounced)


def build(source: Path, folder: Path, work: Path, *, workers: int) -> None:
    """Write shards, manifest and card into ``folder``; alignments in progress lie in ``work``."""
    recordings = read_source(source)
    placed, difference = write_shards(recordings, folder)
    alignments, figures = _labels(recordings, work, workers)
    parts = speaker_split(recordings, {name: place.duration_s for name, place in placed.items()})
    lines = manifest_lines(recordings, placed, alignments, parts, keywords(recordings, alignments))
    write_manifest(lines, folder / MANIFEST)
    speech = [place.num_samples for place in placed.values()]
    card = {
        "name": "librispeech-mini",
        "kind": "read audiobooks",
        "sample_rate": SAMPLE_RATE,
        "made_by": "python -m data.build_librispeech",
        "versions": {name: version(name) for name in ("pocketsphinx", "pyfoal", "numpy", "scipy", "soundfile")},
        "license": "CC-BY-4.0",
        "origin": "LibriSpeech train-clean-5 (https://www.openslr.org/31), Ogg Opus; see ATTRIBUTION.md",
        "languages": ["en"],
        "hours": round(sum(speech) / SAMPLE_RATE / 3600, 3),
        "splits": statistics(lines),
        "label_sets": label_sets(lines),
        "speakers": {r.speaker: r.role for r in recordings},
        "phones": phone_counts(lines),
        "alignment": figures,
        "largest_difference_of_rms": round(difference, 5),
        "sha256": hashes(folder),
    }
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card["splits"], indent=1), file=sys.stderr)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the embedded corpus 'librispeech-mini'.")
    parser.add_argument("--source", type=Path, required=True, help="folder of Opus files, manifest.tsv and roles.tsv")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "librispeech-mini")
    parser.add_argument("--work", type=Path, default=Path("build/librispeech-mini"), help="where alignments are kept")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    build(arguments.source, arguments.out, arguments.work, workers=arguments.workers)


if __name__ == "__main__":
    main()
