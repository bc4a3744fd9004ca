"""Hidden states reach the probes whole, in order, unpadded and at 50 Hz."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from greenbench.errors import TrialFailed
from greenbench.evaluate.representation import equal_length_batches, extract, frame_count, to_label_rate
from greenbench.models.base import Batch, Upstream
from greenbench.models.controls import LogMel
from tests.evaluate.conftest import Store, ToyCorpus


class Clock(Upstream):
    """Each hidden state is the number of its own frame, at any rate."""

    def __init__(self, hz: float, drop: int = 0) -> None:
        super().__init__()
        self.frame_hz, self.drop = hz, drop
        self.lengths: list[int] = []

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        self.lengths.append(batch.num_samples)
        count = round(batch.num_samples / 16_000 * self.frame_hz) - self.drop
        times = (torch.arange(count) + 0.5) / self.frame_hz
        return [times.view(1, -1, 1).repeat(batch.size, 1, 3), times.view(1, -1, 1).repeat(batch.size, 1, 2)]


@pytest.mark.parametrize("hz", [12.5, 25.0, 50.0, 100.0])
def test_a_state_lands_on_the_frame_it_was_made_from(hz: float) -> None:
    times = ((torch.arange(int(2 * hz)) + 0.5) / hz).view(1, -1, 1)
    brought = to_label_rate(times, hz, 100)[0, :, 0]
    centres = (torch.arange(100) + 0.5) / 50
    assert (brought - centres).abs().max() <= max(0.5 / hz, 1e-6) + 1e-6


def test_faster_states_are_averaged() -> None:
    values = torch.arange(8.0).view(1, 8, 1)
    assert to_label_rate(values, 100.0, 4)[0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5]


def test_a_missing_last_frame_is_repeated_and_none_at_all_is_an_error() -> None:
    assert to_label_rate(torch.arange(3.0).view(1, 3, 1), 50.0, 4)[0, :, 0].tolist() == [0, 1, 2, 2]
    with pytest.raises(TrialFailed, match="no frame"):
        to_label_rate(torch.zeros(1, 0, 2), 50.0, 4)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_batches_hold_every_utterance_once_and_only_equal_lengths(units: list[int]) -> None:
    lengths = [320 * n * 50 for n in units]
    batches = equal_length_batches(lengths, seconds=4.0)
    assert sorted(p for b in batches for p in b) == list(range(len(lengths)))
    assert all(len({lengths[p] for p in b}) == 1 for b in batches)
    assert all(len(b) == 1 or sum(lengths[p] for p in b) <= 4.0 * 16_000 for b in batches)


def test_frames_come_back_in_the_order_asked_for_and_nothing_is_padded() -> None:
    store = Store([np.zeros(n, dtype=np.float32) for n in (3200, 6719, 3500, 100)])
    model = Clock(50.0)
    frames = extract(model, store, [1, 0, 2, 3], lambda _: None, device=torch.device("cpu"))
    assert np.diff(frames.offsets).tolist() == [20, 10, 10, 2]
    assert sorted(model.lengths) == [640, 3200, 6400]
    first = frames.layers[0, frames.rows([0]), 0].astype(np.float64)
    assert np.allclose(first, (np.arange(20) + 0.5) / 50, atol=1e-3)
    assert (frames.layers[1, :, 2] == 0).all()  # the narrower layer is filled up


def test_a_batch_gives_the_same_frames_as_one_utterance_at_a_time(toy: ToyCorpus) -> None:
    model = LogMel()
    both = extract(model, toy.stores["train"], [0, 1, 2], toy.featurize, device=torch.device("cpu"))
    alone = extract(model, toy.stores["train"], [2], toy.featurize, device=torch.device("cpu"))
    assert np.array_equal(both.layers[:, both.rows([2])], alone.layers)
    assert frame_count(len(toy.stores["train"].waveform(2))) == alone.layers.shape[1]


def test_states_that_are_not_finite_end_the_trial_with_a_reason(toy: ToyCorpus) -> None:
    class Broken(LogMel):
        def hidden_states(self, batch: Batch) -> list[Tensor]:
            return [super().hidden_states(batch)[0] * float("nan")]

    with pytest.raises(TrialFailed, match="layer 0 are not finite"):
        extract(Broken(), toy.stores["train"], [0], toy.featurize, device=torch.device("cpu"))
