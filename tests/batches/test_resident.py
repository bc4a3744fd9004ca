"""Features in the device's memory, whole or in windows, give the batches of the memory map, to the byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenbench.batches.loader import BatchLoader
from greenbench.batches.resident import (
    SHARE,
    FeatureWindows,
    Residence,
    ResidentFeatures,
    choose_residence,
    place,
    room_bytes,
)
from greenbench.errors import DeviceError
from greenbench.features.spec import KALDI_FBANK_40, LOGMEL_80, FeatureSpec
from greenbench.features.store import FeatureStore, frame_offsets

CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
STACKED = dataclasses.replace(KALDI_FBANK_40, stack=2)


@dataclasses.dataclass
class Lengths:
    """A split of which the plan reads nothing but lengths."""

    num_samples: np.ndarray
    utterances: tuple[()] = ()


def numbered(num_samples: np.ndarray, spec: FeatureSpec) -> FeatureStore:
    """Features of which every value tells where it is from, in all finite numbers of sixteen bits."""
    offsets = frame_offsets(num_samples, spec)
    bits = np.arange(int(offsets[-1]) * spec.dim, dtype=np.int64) * 40_503 % 65_536
    frames = bits.astype(np.uint16).view(np.float16).reshape(-1, spec.dim)
    frames = np.where(np.isfinite(frames), frames, np.float16(0))
    return FeatureStore(spec, frames, offsets, np.zeros(spec.dim, np.float32), np.ones(spec.dim, np.float32))


def loader(features: FeatureStore, num_samples: np.ndarray, stored: Any, **options: Any) -> BatchLoader:
    store: Any = Lengths(num_samples)
    return BatchLoader(store, features, fingerprint="x", stored=stored, **options)


def taken(batches: BatchLoader, moves: list[tuple[int, float]]) -> Iterator[tuple[tuple[int, int], bytes, bytes]]:
    """Take batches in the order of the plan and after seeks, each as its position and its bytes."""
    for epoch, share in moves:
        batches.seek(epoch, 0)
        batches.seek(epoch, int(share * (len(batches.plan) - 1)))
        for _ in range(4):
            position = batches.position
            batch = next(batches)
            assert batch.features is not None
            assert batch.features.dtype == torch.float32
            assert batch.features.is_contiguous()
            assert batch.origins is not None
            yield position, batch.features.cpu().numpy().tobytes(), batch.origins.cpu().numpy().tobytes()


@pytest.mark.parametrize("device", DEVICES, ids=str)
@given(
    lengths=st.lists(st.integers(1_600, 60_000), min_size=1, max_size=30),
    spec=st.sampled_from([LOGMEL_80, KALDI_FBANK_40, STACKED]),
    seed=st.integers(0, 2**31),
    batch_seconds=st.floats(0.2, 12.0),
    crop_seconds=st.floats(0.1, 4.0),
    window_bytes=st.integers(0, 400_000),
    moves=st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 1.0)), min_size=1, max_size=4),
)
def test_a_gather_in_the_devices_memory_and_a_window_equal_the_loaders_bytes(
    device: torch.device,
    lengths: list[int],
    spec: FeatureSpec,
    seed: int,
    batch_seconds: float,
    crop_seconds: float,
    window_bytes: int,
    moves: list[tuple[int, float]],
) -> None:
    num_samples = np.array(lengths)
    features = numbered(num_samples, spec)
    asked = {"seed": seed, "batch_seconds": batch_seconds, "crop_seconds": crop_seconds, "device": device}
    expected = list(taken(loader(features, num_samples, None, **asked), moves))
    for stored in (ResidentFeatures(features, device), FeatureWindows(features, device, window_bytes=window_bytes)):
        assert list(taken(loader(features, num_samples, stored, **asked), moves)) == expected
    ahead = FeatureWindows(features, device, window_bytes=window_bytes)
    assert list(taken(loader(features, num_samples, ahead, prefetch=True, **asked), moves)) == expected


def test_the_bytes_are_those_of_the_planned_crops() -> None:
    """The oracle reads each crop by itself, value by value of its own numbering."""
    num_samples = np.array([40_000, 23_000, 61_000, 9_000])
    features = numbered(num_samples, LOGMEL_80)
    batches = loader(features, num_samples, ResidentFeatures(features, CPU), seed=3, crop_seconds=0.5, batch_seconds=1)
    for _ in range(2 * len(batches.plan)):
        batch = next(batches)
        assert batch.features is not None
        for row, (index, start) in enumerate(zip(batch.utterances, batch.starts, strict=True)):
            expected = features.crop(index, start // 160, batch.num_samples // 160).astype(np.float32)
            np.testing.assert_array_equal(batch.features[row].numpy(), expected)


def test_a_window_holds_the_batches_of_its_bytes_and_every_batch_lies_in_one() -> None:
    num_samples = np.full(40, 16_000)
    window_bytes = 5 * 100 * 80 * 2
    features = numbered(num_samples, LOGMEL_80)
    plans = loader(features, num_samples, None, seed=0, crop_seconds=1.0, batch_seconds=1.0)
    windows = FeatureWindows(features, CPU, window_bytes=window_bytes)
    found = [windows.crops(lambda _: plans.plan, 0, index) for index in range(40)]
    assert {batch.untyped_storage().nbytes() for batch in found} == {window_bytes}
    storages = [batch.untyped_storage().data_ptr() for batch in found]
    assert [len(set(storages[first : first + 5])) for first in range(0, 40, 5)] == [1] * 8
    assert len(set(storages)) == 8


def test_features_lie_where_they_fit_and_a_cpu_leaves_them_mapped() -> None:
    other = torch.device("meta")  # no CPU, and free memory that is known here
    room = room_bytes(other)
    assert 0 < room < psutil.virtual_memory().total * SHARE
    expected: dict[tuple[str, int], Residence] = {
        ("auto", 1000): "whole",
        ("auto", 10 * room): "windows",
        ("whole", 1000): "whole",
        ("windows", 1000): "windows",
        ("off", 1000): "off",
    }
    assert {key: choose_residence(*key, other) for key in expected} == expected
    assert choose_residence("auto", 1000, CPU) == choose_residence("auto", 10 * room, CPU) == "off"
    assert choose_residence("whole", 1000, CPU) == "whole"


def test_features_that_do_not_fit_as_a_whole_are_refused_in_one_line_with_the_remedy() -> None:
    with pytest.raises(
        DeviceError, match=r"^\[train\] resident = 'whole': the features take 10\.0 TiB, and cpu has room "
    ):
        choose_residence("whole", 10 * 2**40, CPU)
    with pytest.raises(DeviceError, match=r"use auto or windows$"):
        choose_residence("whole", 10 * 2**40, CPU)


def test_what_lies_on_the_device_for_good_is_told_and_progress_reaches_its_end() -> None:
    features = numbered(np.array([40_000, 23_000]), LOGMEL_80)
    told: list[float | None] = []
    whole = place(features, "whole", CPU, progress=lambda _, fraction: told.append(fraction))
    assert whole.nbytes == features.frames.nbytes == LOGMEL_80.stored_bytes(np.array([40_000, 23_000]))
    assert told[-1] == 1.0
    assert place(features, "windows", CPU).nbytes == place(features, "off", CPU).nbytes == 0


def test_a_crop_beyond_its_utterance_is_no_part_of_the_next_one() -> None:
    features = numbered(np.array([40_000, 23_000]), LOGMEL_80)
    np.testing.assert_array_equal(features.rows_of(np.array([0, 1]), np.array([3, 5]), 8), [3, 255])
    for start in (-1, 243):
        with pytest.raises(IndexError, match="leave their utterances"):
            features.rows_of(np.array([0]), np.array([start]), 8)
