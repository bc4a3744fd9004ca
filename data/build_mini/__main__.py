"""Build the corpus ``mini``: ``python -m data.build_mini`` from the top of the checkout.

Needs espeak-ng's shared library (Debian: ``apt install espeak-ng``) and this project's own dependencies.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from . import ogg
from .augment import SAMPLE_RATE
from .grammar import COMMANDS, LANGUAGES
from .phones import SILENCE
from .plan import Job, jobs
from .render import Utterance, clean, render
from .speakers import Speaker, draw
from .synth import Synthesizer

SEED = 20
GAP_S = 0.2
BABBLE_UTTERANCES = 48
FEWEST_PHONES = 20
LARGEST_DRIFT_S = 0.002
_BANK: list[np.ndarray] = []  # clean pretrain speech for babble; filled before the workers are forked


def _clean_samples(job: Job, seed: int) -> np.ndarray:
    return clean(job, seed)[0]


def _render(job: Job, seed: int) -> Utterance:
    return render(job, seed, _BANK)


def _spoken(planned: list[Job], seed: int, workers: int) -> Iterator[Utterance]:
    """Render all jobs in order, each in a fresh process (see ``synth``)."""
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, maxtasksperchild=1) as pool:
        pretrain = [j for j in planned if j.split == "pretrain"][:BABBLE_UTTERANCES]
        _BANK.extend(pool.map(partial(_clean_samples, seed=seed), pretrain, chunksize=1))
    with context.Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap(partial(_render, seed=seed), planned, chunksize=1)


def _entry(utterance: Utterance, path: str, offset: int) -> dict[str, object]:
    """One manifest line; the keys are the contract with the reader."""
    job = utterance.job
    entry: dict[str, object] = {
        "id": job.id,
        "path": path,
        "offset": offset,
        "num_samples": len(utterance.samples),
        "sample_rate": SAMPLE_RATE,
        "split": job.split,
        "task": job.task,
        "speaker": job.speaker.name,
        "language": job.language,
        "text": utterance.text,
    }
    if job.split != "pretrain":
        entry["phones"] = [[p, round(a, 3), round(b, 3)] for p, a, b in utterance.segments]
    if job.task == "keyword":
        entry["keyword"] = utterance.text
    if job.speaker_split:
        entry["speaker_split"] = job.speaker_split
    return entry | utterance.facts


def _encode(item: tuple[int, str, list[np.ndarray]], folder: Path) -> None:
    number, name, pieces = item
    samples = np.concatenate(pieces) / 32768.0
    ogg.write(folder / name, samples, SAMPLE_RATE, serial=number + 1)
    drift = ogg.largest_drift(folder / name, samples)
    if drift >= LARGEST_DRIFT_S * SAMPLE_RATE:
        raise SystemExit(f"{name}: decoded sound is {drift} samples away from what was encoded")


def _phone_counts(entries: list[dict], split: str) -> Counter[str]:
    chosen = [e for e in entries if e["split"] == split and e["task"] == "speech"]
    return Counter(p for e in chosen for p, _, _ in e["phones"])


def _require_sound_inventory(entries: list[dict]) -> None:
    train, test = _phone_counts(entries, "train"), _phone_counts(entries, "test")
    if missing := sorted(set(test) - set(train)):
        raise SystemExit(f"phones of the test split that never occur in train: {' '.join(missing)}")
    if rare := {p: n for p, n in train.items() if n < FEWEST_PHONES}:
        raise SystemExit(f"phones with fewer than {FEWEST_PHONES} occurrences in train; fold them: {rare}")


def _statistics(entries: list[dict]) -> dict[str, dict[str, object]]:
    groups: dict[str, list[dict]] = defaultdict(list)
    for entry in entries:
        groups[entry["split"] if entry["task"] == "speech" else f"keyword_{entry['split']}"].append(entry)
    return {
        name: {
            "utterances": len(group),
            "minutes": round(sum(e["num_samples"] for e in group) / SAMPLE_RATE / 60, 2),
            "speakers": len({e["speaker"] for e in group}),
            "languages": dict(sorted(Counter(e["language"] for e in group).items())),
            "snr_db": dict(sorted(Counter(str(e.get("snr_db", "clean")) for e in group).items())),
            "in_a_room": sum(bool(e.get("rir")) for e in group),
        }
        for name, group in groups.items()
    }


def _card(entries: list[dict], speakers: list[Speaker], shards: list[str], folder: Path, seed: int) -> dict:
    train = _phone_counts(entries, "train")
    return {
        "name": "mini",
        "kind": "synthetic speech",
        "sample_rate": SAMPLE_RATE,
        "seed": seed,
        "made_by": "python -m data.build_mini",
        "versions": {
            "espeak-ng": Synthesizer().version,
            "numpy": np.__version__,
            "soundfile": soundfile.__version__,
            "libsndfile": soundfile.__libsndfile_version__,
            "soxr": soxr.__version__,
        },
        "license": "CC0-1.0",
        "gap_s": GAP_S,
        "languages": list(LANGUAGES),
        "commands": list(COMMANDS),
        "phones": {p: train[p] for p in sorted(train, key=lambda p: (p != SILENCE, p))},
        "splits": _statistics(entries),
        "hours": round(sum(e["num_samples"] for e in entries) / SAMPLE_RATE / 3600, 3),
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in [*shards, "manifest.jsonl"]
        },
        "speakers": {s.name: s.to_json() for s in speakers},
    }


def build(folder: Path, *, seed: int, workers: int) -> None:
    """Write shards, manifest and card into ``folder``."""
    speakers = draw(seed)
    planned = jobs(speakers, seed)
    names = {group: f"shard-{i}.opus" for i, group in enumerate(dict.fromkeys(j.shard for j in planned))}
    gap = np.zeros(round(GAP_S * SAMPLE_RATE), dtype=np.int16)
    pieces: dict[str, list[np.ndarray]] = {name: [gap] for name in names.values()}
    lengths = dict.fromkeys(pieces, gap.size)
    entries: list[dict] = []
    for done, utterance in enumerate(_spoken(planned, seed, workers), start=1):
        name = names[utterance.job.shard]
        entries.append(_entry(utterance, name, lengths[name]))
        pieces[name] += [utterance.samples, gap]
        lengths[name] += utterance.samples.size + gap.size
        if done % 100 == 0 or done == len(planned):
            print(f"{done} of {len(planned)} utterances", file=sys.stderr)
    _require_sound_inventory(entries)
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("fork").Pool(workers, maxtasksperchild=1) as pool:
        work = [(number, name, pieces[name]) for number, name in enumerate(pieces)]
        pool.map(partial(_encode, folder=folder), work, chunksize=1)
    lines = [json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in entries]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    card = _card(entries, speakers, list(pieces), folder, seed)
    (folder / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card["splits"], indent=1), file=sys.stderr)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the embedded corpus 'mini'.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "mini")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    build(arguments.out, seed=arguments.seed, workers=arguments.workers)


if __name__ == "__main__":
    main()
