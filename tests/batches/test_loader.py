"""Batches are the planned crops, resume exactly, and hear augmentation the same after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from greenbench.batches.augment import Augmentation, Augmenter
from greenbench.batches.loader import BatchLoader
from greenbench.corpora.load import load_corpus
from greenbench.features.extract import extract
from greenbench.features.spec import LOGMEL_80
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore, prepare_waveforms
from tests.tones import tone


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WaveformStore:
    folder = tmp_path_factory.mktemp("speech")
    for k in range(30):
        soundfile.write(folder / f"{k}.wav", tone(0.6 + 0.15 * k, hz=100.0 + 40 * k, seed=k), 16_000)
    return prepare_waveforms(load_corpus(f"folder:{folder}"))["pretrain"]


@pytest.fixture(scope="module")
def features(store: WaveformStore) -> FeatureStore:
    return FeatureStore.compute(store, LOGMEL_80)


def make(store: WaveformStore, features: FeatureStore | None = None, **options: Any) -> BatchLoader:
    return BatchLoader(
        store, features, **{"seed": 0, "fingerprint": "x", "batch_seconds": 8.0, "crop_seconds": 2.0, **options}
    )


def test_batches_hold_the_planned_crops(store: WaveformStore, features: FeatureStore) -> None:
    loader = make(store, features, waveform=True)
    for _ in range(2 * len(loader.plan)):
        batch = next(loader)
        assert batch.waveform.shape == (batch.size, batch.num_samples)
        assert batch.features.shape == (batch.size, batch.num_samples // 160, 80)
        assert batch.waveform.dtype == batch.features.dtype == torch.float32
        for row, (index, start) in enumerate(zip(batch.utterances, batch.starts, strict=True)):
            np.testing.assert_array_equal(batch.waveform[row], store.crop(index, start, batch.num_samples))
            expected = features.crop(index, start // 160, batch.num_samples // 160)
            np.testing.assert_array_equal(batch.features[row], expected.astype(np.float32))


def test_only_what_the_model_reads_is_loaded(store: WaveformStore, features: FeatureStore) -> None:
    assert next(make(store)).features is None
    batch = next(make(store, features))
    assert batch.waveform is None
    assert batch.audio_s == batch.size * batch.num_samples / 16_000


def test_a_resumed_loader_gives_the_same_batches(store: WaveformStore) -> None:
    first = make(store)
    for _ in range(len(first.plan) + 3):
        next(first)
    position = first.position
    assert position[0] == 1
    second = make(store)
    second.seek(*position)
    for _ in range(len(first.plan)):
        one, two = next(first), next(second)
        assert first.position == second.position
        torch.testing.assert_close(one.waveform, two.waveform, atol=0, rtol=0)


def test_the_position_at_an_epochs_end_is_the_next_ones_begin(store: WaveformStore) -> None:
    loader = make(store)
    for _ in range(len(loader.plan)):
        next(loader)
    assert loader.position == (1, 0)


def test_time_spent_on_batches_is_counted(store: WaveformStore) -> None:
    loader = make(store)
    assert loader.stall_s == 0.0
    next(loader)
    assert 0.0 < loader.stall_s < 5.0


def test_augmentation_reaches_waveform_and_features_and_survives_a_resume(
    store: WaveformStore, features: FeatureStore
) -> None:
    augment = Augmenter(Augmentation(noise_probability=1.0, speed_probability=0.5, reverb_probability=0.5), seed=3)
    loader = make(store, features, waveform=True, augment=augment)
    batches = [next(loader) for _ in range(4)]
    plain = make(store, features, waveform=True)
    for batch in batches:
        other = next(plain)
        assert batch.waveform.shape == other.waveform.shape
        assert not torch.allclose(batch.waveform, other.waveform)
        expected = features.normalise(extract(batch.waveform, LOGMEL_80))
        torch.testing.assert_close(batch.features, expected)
    resumed = make(store, features, waveform=True, augment=augment)
    resumed.seek(0, 2)
    torch.testing.assert_close(next(resumed).waveform, batches[2].waveform, atol=0, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_on_the_gpu_unchanged(store: WaveformStore, features: FeatureStore) -> None:
    on_gpu = make(store, features, waveform=True, device="cuda")
    on_cpu = make(store, features, waveform=True)
    for _ in range(2 * len(on_cpu.plan)):
        one, two = next(on_gpu), next(on_cpu)
        assert one.waveform.device.type == one.features.device.type == "cuda"
        torch.testing.assert_close(one.waveform.cpu(), two.waveform)
        torch.testing.assert_close(one.features.cpu(), two.features)
        assert on_gpu.position == on_cpu.position


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_are_the_same_on_the_gpu(store: WaveformStore, features: FeatureStore) -> None:
    found = FeatureStore.compute(store, LOGMEL_80, device="cuda")
    np.testing.assert_allclose(found.frames.astype(float), features.frames.astype(float), atol=0.02)


def test_a_batch_prepared_ahead_is_not_counted_as_given(store: WaveformStore) -> None:
    ahead, plain = make(store, prefetch=True), make(store)
    for _ in range(len(plain.plan) + 2):
        one, two = next(ahead), next(plain)
        assert ahead.position == plain.position
        torch.testing.assert_close(one.waveform, two.waveform, atol=0, rtol=0)
    ahead.seek(0, 1)
    plain.seek(0, 1)
    torch.testing.assert_close(next(ahead).waveform, next(plain).waveform, atol=0, rtol=0)


def test_a_noise_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    from greenbench.errors import DataError

    with pytest.raises(DataError, match="does not exist"):
        Augmenter(Augmentation(noise_probability=1.0, noise=str(tmp_path / "none")), seed=0)
