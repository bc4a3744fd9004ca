"""The plan of an epoch: pure, without padding, complete, balanced over ranks, and fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.data.batches import ALIGNMENT, EpochPlan
from greenbench.errors import DataError

LENGTHS = st.lists(st.integers(1_600, 400_000), min_size=1, max_size=200).map(lambda x: np.array(x, dtype=np.int64))


def make(num_samples: np.ndarray, **options) -> EpochPlan:
    settings_ = {"seed": 0, "epoch": 0, "fingerprint": "abc", **options}
    return EpochPlan.make(num_samples, **settings_)


def contents(plan: EpochPlan) -> list[tuple[list[int], list[int], int]]:
    batches = (plan.batch(k) for k in range(len(plan)))
    return [(b.utterances.tolist(), b.starts.tolist(), b.num_samples) for b in batches]


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


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 5))
def test_all_ranks_have_equally_many_batches_and_together_all_utterances(lengths: np.ndarray, world: int) -> None:
    plans = [make(lengths, batch_seconds=8.0, world_size=world, rank=rank) for rank in range(world)]
    assert len({len(plan) for plan in plans}) == 1
    found = [u for plan in plans for batch in contents(plan) for u in batch[0]]
    assert set(found) == set(range(len(lengths)))
    alone = contents(make(lengths, batch_seconds=8.0))
    assert {tuple(b[0]) for b in alone} == {tuple(b[0]) for plan in plans for b in contents(plan)}


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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_a_hundred_thousand_utterances_are_planned_in_two_seconds_and_little_memory() -> None:
    code = (
        "import re, time, numpy as np\n"
        "from greenbench.data.batches import EpochPlan\n"
        "n = (np.random.default_rng(0).gamma(4, 3, 100_000) * 16_000 + 1600).astype(np.int64)\n"
        "begin = time.process_time()\n"
        "plan = EpochPlan.make(n, seed=0, epoch=0, fingerprint='x')\n"
        "seconds = time.process_time() - begin\n"
        # Not getrusage: its peak is handed down from the process that started this one.
        "peak = re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())\n"
        "print(seconds, int(peak[1]) * 1024, len(plan))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    cpu_seconds, peak_bytes, batches = map(float, output.split())
    assert batches > 10_000
    assert cpu_seconds < 2.0
    assert peak_bytes < 500e6
