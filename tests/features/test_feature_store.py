"""Stored features are the extracted ones, normalised; on disk they are found again, with what they cost."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from greenbench.audio.workers import run_jobs
from greenbench.corpora.load import load_corpus
from greenbench.errors import OutputError
from greenbench.features import cache as feature_cache
from greenbench.features.cache import cached_features, one_at_a_time
from greenbench.features.extract import extract
from greenbench.features.spec import KALDI_FBANK_40, LOGMEL_80, FeatureSpec
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore, prepare_waveforms
from tests.tones import tone

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
    monkeypatch.setattr("greenbench.features.store.GROUP_SAMPLES", 5 * 16_000)
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
    monkeypatch.setattr("greenbench.features.store.GROUP_SAMPLES", 5 * 16_000)
    features = FeatureStore.compute(store, spec)
    everything = torch.cat([extract(torch.from_numpy(store.waveform(i)), spec) for i in range(len(store))]).double()
    np.testing.assert_allclose(features.mean, everything.mean(0), atol=2e-3)
    np.testing.assert_allclose(features.std, everything.std(0, correction=0), rtol=2e-3)
    stored = features.frames.astype(np.float64)
    np.testing.assert_allclose(stored.mean(0), 0.0, atol=2e-3)
    np.testing.assert_allclose(stored.std(0), 1.0, atol=2e-3)


def test_the_callers_threads_are_left_as_they_were(store: WaveformStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenbench.features.store.GROUP_SAMPLES", 5 * 16_000)
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


def test_a_cost_counts_only_under_the_circumstances_it_was_measured_in(store: WaveformStore, cache: Path) -> None:
    """Without joules on record, or on another machine, the features are computed again; the frames stay one file."""
    asked = [
        ({"machine": "a"}, None, False),
        ({"machine": "a"}, None, True),
        ({"machine": "b"}, None, False),
        ({"machine": "a"}, 5.0, False),
        ({"machine": "a"}, 7.0, True),
        ({"machine": "b"}, None, True),
    ]
    for circumstances, step_j, reused in asked:
        readings = itertools.count(0.0, step_j or 1.0)
        energy_j = None if step_j is None else lambda readings=readings: next(readings)
        found = cached_features(store, LOGMEL_80, energy_j=energy_j, circumstances=circumstances)
        assert found.reused is reused, (circumstances, step_j)
        if step_j is not None:
            assert found.joules == 5.0
    folders = [path for path in (cache / "features").iterdir() if path.is_dir()]
    assert [len(list(folder.glob("frames.*"))) for folder in folders] == [1]


def test_processes_at_once_compute_once_and_share_the_cost(
    store: WaveformStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads stand for processes: the lock is on an open file, so it holds between them too."""
    started = threading.Barrier(3)
    found: list[feature_cache.CachedFeatures] = []

    def trial() -> None:
        started.wait()
        with one_at_a_time(store, LOGMEL_80):
            found.append(cached_features(store, LOGMEL_80))

    threads = [threading.Thread(target=trial) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item.reused for item in found) == [False, True, True]
    assert len({item.seconds for item in found}) == 1
    assert not list((cache / "features").glob("*.tmp"))


def test_whoever_changes_what_it_read_changes_no_file(store: WaveformStore, cache: Path) -> None:
    cached_features(store, LOGMEL_80).store.frames[:] = 0
    assert cached_features(store, LOGMEL_80).store.frames.any()


def test_hours_of_audio_are_computed_by_worker_processes_and_one_thread_needs_none(
    store: WaveformStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counting(function: Any, jobs: Sequence[Any], workers: int, **options: Any) -> Iterator[Any]:
        asked.append(workers)
        return run_jobs(function, jobs, 1, **options)

    monkeypatch.setattr(feature_cache, "run_jobs", counting)
    cached_features(store, LOGMEL_80, threads=3)
    assert not asked, "starting processes takes longer than a minute of audio"
    monkeypatch.setattr(feature_cache, "_MIN_WORKER_AUDIO_S", 1.0)
    before = torch.get_num_threads()
    for threads in (3, 1):
        cached_features(store, LOGMEL_80, threads=threads, circumstances={"threads": threads})
    assert asked == [3, 1]
    assert torch.get_num_threads() == before


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


def test_what_another_kind_of_device_computed_is_another_cache(store: WaveformStore) -> None:
    """A GPU's values differ in the last digits: a CPU's trials must not depend on who came first."""
    devices = [torch.device(name) for name in ("cpu", "mps", "meta")]
    assert len({feature_cache.cache_key(store, LOGMEL_80, None, device) for device in devices}) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_of_a_gpu_are_found_again_on_the_disk(store: WaveformStore, cache: Path) -> None:
    device, readings = torch.device("cuda"), iter([100.0, 142.5])
    first = cached_features(store, LOGMEL_80, device=device, energy_j=lambda: next(readings))
    again = cached_features(store, LOGMEL_80, device=device, progress=lambda *_: pytest.fail("computed twice"))
    assert (first.reused, again.reused, again.joules) == (False, True, 42.5)
    np.testing.assert_array_equal(again.store.frames, FeatureStore.compute(store, LOGMEL_80, device=device).frames)
    assert not cached_features(store, LOGMEL_80).reused


def test_features_computed_into_a_file_are_those_computed_in_memory(store: WaveformStore, tmp_path: Path) -> None:
    expected = FeatureStore.compute(store, LOGMEL_80)
    frames = np.memmap(tmp_path / "frames", np.float16, "w+", shape=expected.frames.shape)
    found = FeatureStore.compute(store, LOGMEL_80, frames=frames)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "frames", np.float16), expected.frames.ravel())
    np.testing.assert_array_equal(found.mean, expected.mean)


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
