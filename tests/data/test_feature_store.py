"""Stored features are the extracted ones, normalised; on disk they are found again, with what they cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import tone

from greenbench.data import feature_cache
from greenbench.data.corpus import load_corpus
from greenbench.data.feature_cache import cached_features
from greenbench.data.features import KALDI_FBANK_40, LOGMEL_80, FeatureSpec, FeatureStore, extract
from greenbench.data.waveforms import WaveformStore, prepare_waveforms
from greenbench.errors import OutputError

RAW = dataclasses.replace(LOGMEL_80, normalise="none")
STACKED = dataclasses.replace(KALDI_FBANK_40, stack=2)
BY_UTTERANCE = dataclasses.replace(LOGMEL_80, normalise="utterance")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WaveformStore:
    folder = tmp_path_factory.mktemp("speech")
    random = np.random.default_rng(0)
    for k in range(40):
        wave = tone(float(random.uniform(0.11, 4.0)), hz=100.0 + 40 * k, seed=k) * random.uniform(0.05, 1.0)
        soundfile.write(folder / f"{k}.wav", wave, 16_000)
    return prepare_waveforms(load_corpus(f"folder:{folder}"))["pretrain"]


@pytest.mark.parametrize("spec", [LOGMEL_80, KALDI_FBANK_40, RAW, STACKED, BY_UTTERANCE])
@pytest.mark.parametrize("threads", [1, 3])
def test_stored_features_are_the_extracted_ones_normalised(
    spec: FeatureSpec, threads: int, store: WaveformStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenbench.data.feature_store.GROUP_SAMPLES", 5 * 16_000)
    features = FeatureStore.compute(store, spec, threads=threads)
    assert len(features) == len(store)
    for i in range(len(store)):
        expected = features.normalise(extract(torch.from_numpy(store.waveform(i)), spec))
        assert features.features(i).shape == (spec.num_frames(int(store.num_samples[i])), spec.dim)
        torch.testing.assert_close(torch.from_numpy(features.features(i)).float(), expected, atol=0.02, rtol=2e-3)


@pytest.mark.parametrize("spec", [LOGMEL_80, KALDI_FBANK_40])
def test_mean_and_deviation_are_those_of_all_frames(
    spec: FeatureSpec, store: WaveformStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenbench.data.feature_store.GROUP_SAMPLES", 5 * 16_000)
    features = FeatureStore.compute(store, spec)
    everything = torch.cat([extract(torch.from_numpy(store.waveform(i)), spec) for i in range(len(store))]).double()
    np.testing.assert_allclose(features.mean, everything.mean(0), atol=2e-3)
    np.testing.assert_allclose(features.std, everything.std(0, correction=0), rtol=2e-3)
    stored = features.frames.astype(np.float64)
    np.testing.assert_allclose(stored.mean(0), 0.0, atol=2e-3)
    np.testing.assert_allclose(stored.std(0), 1.0, atol=2e-3)


def test_the_callers_threads_are_left_as_they_were(store: WaveformStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenbench.data.feature_store.GROUP_SAMPLES", 5 * 16_000)
    before = torch.get_num_threads()
    FeatureStore.compute(store, LOGMEL_80, threads=3)
    assert torch.get_num_threads() == before


def test_crops_are_parts_of_the_features(store: WaveformStore) -> None:
    features = FeatureStore.compute(store, LOGMEL_80)
    longest = int(store.num_samples.argmax())
    np.testing.assert_array_equal(features.crop(longest, 3, 8), features.features(longest)[3:11])
    with pytest.raises(IndexError):
        features.crop(longest, 3, 10_000)


def test_a_second_split_is_normalised_with_the_first_ones_statistics(store: WaveformStore) -> None:
    first = FeatureStore.compute(store, LOGMEL_80)
    part = WaveformStore(store.utterances[:5], store.folder)
    second = FeatureStore.compute(part, LOGMEL_80, statistics=first.statistics)
    np.testing.assert_array_equal(second.mean, first.mean)
    np.testing.assert_allclose(second.features(2).astype(float), first.features(2).astype(float), atol=5e-3)


def test_the_cache_returns_the_same_features_and_their_cost(store: WaveformStore, cache: Path) -> None:
    readings = iter([100.0, 142.5])
    first = cached_features(store, LOGMEL_80, energy_j=lambda: next(readings))
    again = cached_features(store, LOGMEL_80, progress=lambda *_: pytest.fail("computed twice"))
    assert (first.reused, again.reused) == (False, True)
    assert first.joules == again.joules == 42.5
    assert first.seconds == again.seconds > 0
    assert isinstance(again.store.frames, np.memmap)
    expected = FeatureStore.compute(store, LOGMEL_80)
    np.testing.assert_allclose(again.store.frames.astype(float), expected.frames.astype(float), atol=5e-3)
    np.testing.assert_allclose(again.store.mean, expected.mean, rtol=1e-5)


def test_without_a_meter_the_joules_are_absent(store: WaveformStore, cache: Path) -> None:
    assert cached_features(store, LOGMEL_80).joules is None


def test_worker_processes_compute_the_same(
    store: WaveformStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "GROUP_SAMPLES", 5 * 16_000)
    monkeypatch.setattr(feature_cache, "_GROUPS_PER_JOB", 3)
    found = []
    for workers in (1, 2):
        monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / str(workers)))
        found.append(cached_features(store, KALDI_FBANK_40, workers=workers).store)
    np.testing.assert_array_equal(found[0].frames, found[1].frames)
    np.testing.assert_array_equal(found[0].mean, found[1].mean)


def test_another_setting_is_another_cache(store: WaveformStore, cache: Path) -> None:
    part = WaveformStore(store.utterances[:7], store.folder)
    specs = [LOGMEL_80, RAW, dataclasses.replace(LOGMEL_80, f_min=20.0)]
    assert [cached_features(store, spec).reused for spec in specs] == [False] * 3
    assert not cached_features(part, LOGMEL_80).reused


def test_a_damaged_or_unwritable_cache_is_one_line(
    store: WaveformStore, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_features(store, LOGMEL_80)
    (next((cache / "features").iterdir()) / "frames.f16").write_bytes(b"torn")
    with pytest.raises(OutputError, match="delete the folder"):
        cached_features(store, LOGMEL_80)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError, match="GREENBENCH_CACHE"):
        cached_features(store, LOGMEL_80)
