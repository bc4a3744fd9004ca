"""Draws by counter: the same integers on every device, whatever was drawn before, distributed as a generator's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from greenbench.models.augment_mel import warp_bands
from greenbench.models.contrastive import sample_negatives
from greenbench.models.draws import PART_ROWS, Draws, Purpose, widen
from greenbench.models.masking import Masking, span_mask
from tests.reference import draws as reference

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
STORED = {
    (0, 0, 1): [
        [3_324_733_362, 1_854_370_135, 1_095_199_339, 3_845_963_359],
        [229_510_773, 2_039_516_186, 40_568_447, 986_603_654],
    ],
    (7, 123_456, 3): [
        [906_228_337, 3_636_681_442, 2_549_656_721, 4_028_601_931],
        [1_817_827_703, 2_591_819_975, 3_798_623_991, 2_523_904_178],
    ],
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("where", "expected"), STORED.items())
def test_words_are_the_stored_ones_on_every_device(
    device: str, where: tuple[int, int, int], expected: list[list[int]]
) -> None:
    seed, step, purpose = where
    draws = Draws(seed, device=device).go_to(step)
    assert draws.words(purpose, 2, 4).tolist() == expected
    assert draws.on_host().words(purpose, 2, 4).tolist() == expected


@given(
    seed=st.integers(0, 2**40),
    step=st.integers(0, 2**31),
    part=st.integers(0, 16),
    purpose=st.sampled_from(list(Purpose)),
    place=st.integers(0, 100_000),
)
def test_a_word_is_the_hash_of_where_it_stands(seed: int, step: int, part: int, purpose: Purpose, place: int) -> None:
    words = Draws(seed).go_to(step, part=part).words(purpose, 3, place + 1)[:, -1].tolist()
    assert words == [reference.word(seed, step, purpose, part * PART_ROWS + row, place) for row in range(3)]


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws() -> None:
    whole, resumed = Draws(3), Draws(3, step=40)
    for step in range(40):
        whole.go_to(step).words(Purpose.MASK, 4, 50)
    whole.go_to(40)
    assert torch.equal(whole.subset(Purpose.MASK, 4, 50, 7), resumed.subset(Purpose.MASK, 4, 50, 7))


def test_the_words_of_a_large_block_are_uniform_and_do_not_depend_on_each_other() -> None:
    blocks = torch.stack([Draws(seed).go_to(step).words(1, 64, 256) for seed in (0, 1) for step in (0, 1, 2**20)])
    for bits in (blocks >> 24, blocks & 255):
        assert stats.chisquare(torch.bincount(bits.flatten(), minlength=256).numpy()).pvalue > 1e-4
    centred = blocks.double() / 2**32 - 0.5
    for other in (centred.roll(1, 0), centred.roll(1, 1), centred.roll(1, 2), centred.roll((1, 1), (1, 2))):
        # The mean of n products of two independent uniform numbers has deviation 1 / (12 sqrt n).
        assert abs(float((centred * other).mean())) < 5 / 12 / centred.numel() ** 0.5
    assert all(len(set(row)) == 256 for row in blocks.flatten(0, 1).tolist())


@given(st.integers(0, 2**31), st.integers(1, 2**31))
def test_integers_stay_below_their_limit(seed: int, limit: int) -> None:
    drawn = Draws(seed).below(Purpose.NEGATIVES, 2, 50, limit)
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < limit


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 70))
def test_a_subset_has_the_asked_size(seed: int, places: int, count: int) -> None:
    assert Draws(seed).subset(Purpose.MASK, 5, places, count).sum(1).tolist() == [min(places, count)] * 5


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 6))
def test_marked_places_are_widened_to_spans(starts: list[bool], span: int) -> None:
    length = len(starts) + span - 1
    expected = [any(starts[s] for s in range(max(0, t - span + 1), min(t + 1, len(starts)))) for t in range(length)]
    assert widen(torch.tensor([starts]), span, length)[0].tolist() == expected


def same_distribution(first: Tensor, second: Tensor) -> float:
    """The p value of the hypothesis that two samples of small integers come from one distribution."""
    most = int(max(first.max(), second.max())) + 1
    table = torch.stack([torch.bincount(sample.flatten(), minlength=most) for sample in (first, second)])
    return float(stats.chi2_contingency(table[:, table.sum(0) >= 20].numpy()).pvalue)


@pytest.mark.parametrize(("frames", "prob", "span"), [(60, 0.65, 10), (40, 0.15, 5), (24, 0.7, 5)])
def test_masks_are_distributed_as_those_of_a_generator(frames: int, prob: float, span: int) -> None:
    rows = 1500
    ours = span_mask(rows, frames, prob=prob, span=span, draws=Draws(0))
    theirs = reference.span_mask(rows, frames, prob=prob, span=span, generator=torch.Generator().manual_seed(0))
    assert same_distribution(ours.sum(1), theirs.sum(1)) > 1e-3
    place = torch.arange(frames).expand(rows, frames)
    assert same_distribution(place[ours], place[theirs]) > 1e-3
    begins = [m & ~m.roll(1, 1) for m in (ours, theirs)]
    assert same_distribution(*(b.sum(1) for b in begins)) > 1e-3
    pairs = [(m[:, :-span] & m[:, span:]).sum(1) for m in (ours, theirs)]
    assert same_distribution(*pairs) > 1e-3
    assert int(ours.sum(1).max()) <= Masking(prob, span).most(frames)


def test_distractors_are_distributed_as_those_of_a_generator() -> None:
    valid = torch.arange(9) < torch.tensor([[9], [6], [2], [1]])
    ours = sample_negatives(valid, 300, Draws(0))
    theirs = reference.negatives(valid, 300, torch.Generator().manual_seed(0))
    for row, known in enumerate((9, 6, 2)):
        for place in range(known):
            assert same_distribution(ours[row, place], theirs[row, place]) > 1e-4


def test_warps_are_distributed_as_those_of_a_generator() -> None:
    ramp = torch.arange(80.0).expand(1500, 1, 80)
    ours = warp_bands(ramp, 0.12, Draws(0))
    theirs = reference.warp_bands(ramp[:600], 0.12, torch.Generator().manual_seed(0))
    for read in (lambda x: x[:, 0, 40], lambda x: x[:, 0, 60] - x[:, 0, 20], lambda x: x[:, 0, 5]):
        assert stats.ks_2samp(read(ours).numpy(), read(theirs).numpy()).pvalue > 1e-3


def test_batches_of_one_update_and_purposes_draw_apart() -> None:
    draws = Draws(0)
    found = [draws.go_to(0, part=part).words(purpose, 8, 32) for part in (0, 1) for purpose in (1, 2)]
    assert len(torch.stack(found).unique()) == 4 * 8 * 32
