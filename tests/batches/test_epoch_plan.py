"""The plan of an epoch: pure, without padding, complete, balanced over ranks, and fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.batches.plan import ALIGNMENT, EpochPlan
from greenbench.errors import DataError
from tests.tones import tone

LENGTHS = st.lists(st.integers(1_600, 400_000), min_size=1, max_size=200).map(lambda x: np.array(x, dtype=np.int64))


def make(num_samples: np.ndarray, **options: Any) -> EpochPlan:
    settings_: dict[str, Any] = {"seed": 0, "epoch": 0, "fingerprint": "abc", **options}
    return EpochPlan.make(num_samples, **settings_)


def contents(plan: EpochPlan) -> list[tuple[list[int], list[int], int]]:
    batches = (plan.batch(k) for k in range(len(plan)))
    return [(b.utterances.tolist(), b.starts.tolist(), b.num_samples) for b in batches]


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.floats(1.0, 60.0), st.floats(1.0, 20.0), st.integers(1, 8))
def test_crops_have_no_more_lengths_than_asked_for(
    lengths: np.ndarray, batch_seconds: float, crop_seconds: float, count: int
) -> None:
    step = int(crop_seconds * 16_000) // count // ALIGNMENT * ALIGNMENT
    try:
        plan = make(lengths, batch_seconds=batch_seconds, crop_seconds=crop_seconds, crop_lengths=count)
    except DataError:
        assert lengths.max() < step
        return
    batches = [plan.batch(k) for k in range(len(plan))]
    assert {b.num_samples for b in batches} <= {step * part for part in range(1, count + 1)}
    assert all((b.starts + b.num_samples <= lengths[b.utterances]).all() for b in batches)
    assert sum(len(b.utterances) for b in batches) == (lengths >= step).sum() == len(lengths) - plan.dropped


def test_an_epoch_of_speech_has_four_shapes_but_for_its_last_batches() -> None:
    """Lengths as LibriSpeech's: few below 2 s, most between 10 and 16."""
    random = np.random.default_rng(0)
    lengths = (16_000 * np.clip(random.normal(12.3, 3.8, 20_000), 1.3, 24)).astype(np.int64)
    plan = make(lengths, batch_seconds=320, crop_seconds=10, crop_lengths=4)
    batches = [plan.batch(k) for k in range(len(plan))]
    usual = [b for b in batches if len(b.utterances) == round(320 * 16_000 / b.num_samples)]
    assert len({b.num_samples for b in usual}) == 4
    assert len(batches) - len(usual) <= 4
    assert plan.dropped < 0.01 * len(lengths)


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.floats(1.0, 60.0), st.floats(0.2, 20.0))
def test_every_crop_lies_in_its_utterance_and_every_utterance_comes_once(
    lengths: np.ndarray, batch_seconds: float, crop_seconds: float
) -> None:
    plan = make(lengths, batch_seconds=batch_seconds, crop_seconds=crop_seconds)
    seen = []
    for k in range(len(plan)):
        batch = plan.batch(k)
        seen += batch.utterances.tolist()
        assert batch.num_samples % ALIGNMENT == 0
        assert (batch.starts % ALIGNMENT == 0).all()
        assert (batch.starts >= 0).all()
        assert (batch.starts + batch.num_samples <= lengths[batch.utterances]).all()
        assert batch.num_samples <= crop_seconds * 16_000
        # A batch holds as many crops as come nearest to the wished-for length.
        assert len(batch.starts) * batch.num_samples <= max(1.5 * batch_seconds * 16_000, batch.num_samples)
    assert sorted(seen) == list(range(len(lengths)))
    assert plan.padding_ratio == 0.0
    covered = sum(len(b[0]) * b[2] for b in contents(plan))
    assert plan.audio_s == pytest.approx(covered / 16_000)
    assert plan.cropped_ratio == pytest.approx(1 - covered / lengths.sum())


def test_the_plan_depends_on_seed_epoch_and_fingerprint_and_on_nothing_else() -> None:
    lengths = np.random.default_rng(0).integers(16_000, 200_000, 500)
    first = contents(make(lengths))
    assert contents(make(lengths)) == first
    for change in ({"seed": 1}, {"epoch": 1}, {"fingerprint": "abd"}):
        assert contents(make(lengths, **change)) != first


def test_little_is_cropped_away_where_nothing_is_longer_than_a_crop() -> None:
    lengths = np.random.default_rng(0).integers(16_000, 128_000, 2000)
    plan = make(lengths)
    assert plan.cropped_ratio < 0.05
    seconds = np.diff(plan.bounds) * plan.lengths / 16_000
    assert np.median(seconds) == pytest.approx(32.0, rel=0.05)


def test_the_epochs_differ_in_who_sits_together() -> None:
    lengths = np.random.default_rng(0).integers(16_000, 128_000, 2000)
    pairs = [{frozenset(b[0]) for b in contents(make(lengths, epoch=epoch))} for epoch in range(2)]
    assert len(pairs[0] & pairs[1]) <= 3


def test_what_is_too_short_is_counted_and_nothing_usable_is_an_error() -> None:
    assert make(np.array([100, 16_000])).dropped == 1
    with pytest.raises(DataError, match=r"no utterance of 2 is 0\.1 s or longer"):
        make(np.array([100, 200]))


def test_a_batch_that_does_not_exist_is_an_index_error() -> None:
    plan = make(np.array([16_000] * 3))
    with pytest.raises(IndexError, match="batch 1 of 1"):
        plan.batch(1)


_MANY = """
import re, sys, time
import numpy as np
from greenbench.batches.plan import EpochPlan
from greenbench.corpora.load import load_corpus
corpus = load_corpus(sys.argv[1])
heard = corpus.split("pretrain")
begin = time.process_time()
lengths = np.array([u.num_samples_16k for u in heard])
plan = EpochPlan.make(lengths, seed=0, epoch=0, fingerprint=corpus.fingerprint)
seconds = time.process_time() - begin
# Not getrusage: its peak is handed down from the process that started this one.
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(len(corpus.utterances), len(heard), len(set(plan.utterances.tolist())), seconds, int(peak[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_a_hundred_thousand_manifest_entries_are_planned_in_two_seconds_and_little_memory(
    tmp_path: Path, cache: Path
) -> None:
    """The entries are read, checked and split as in a run, and held while the epoch is planned."""
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", tone(60.0, 8000), 8000)
    offsets, durations = random.uniform(0, 40, 100_000).round(3), random.uniform(0.5, 19.0, 100_000).round(3)
    with (tmp_path / "train.jsonl").open("w") as file:
        for number, (offset_s, duration_s) in enumerate(zip(offsets.tolist(), durations.tolist(), strict=True)):
            labels = {"speaker": f"s{number % 500}", "language": "en", "text": f"the sentence number {number}"}
            place = {"path": "a.flac", "offset_s": offset_s, "duration_s": duration_s}
            file.write(json.dumps({"id": f"u{number}", **place, **labels}) + "\n")
    command = [sys.executable, "-c", _MANY, f"manifest:{tmp_path / 'train.jsonl'}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries, heard, planned, cpu_seconds, peak_bytes = map(float, output.split())
    # A few of so many random entries mean the same stretch and count once; all overlap, so all are on one side.
    assert entries > 99_900
    assert planned == heard > 70_000
    assert cpu_seconds < 2.0
    assert peak_bytes < 500e6


def test_padding_is_measured_on_the_planned_crops() -> None:
    """A batch of crops cut to its shortest utterance has none; the ratio is computed from places and lengths."""
    lengths = np.random.default_rng(0).integers(1600, 300_000, 500)
    plan = make(lengths)
    ends = plan.starts + np.repeat(plan.lengths, np.diff(plan.bounds))
    assert plan.padding_ratio == np.maximum(ends - lengths[plan.utterances], 0).sum() == 0
