"""Decoded audio: right values, decoded once, atomic, safe with several processes, and honest about a bad cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench.audio.decode import resample
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.corpora.utterance import Utterance
from greenbench.errors import DataError, OutputError
from greenbench.features.waveforms import prepare_waveforms
from tests.tones import REPOSITORY, tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    for k in range(10):
        soundfile.write(folder / f"{k}.wav", tone(0.5 + 0.1 * k, seed=k), 16_000)
    return folder


def test_samples_are_those_of_the_files(folder: Path, cache: Path) -> None:
    for store in prepare_waveforms(load_corpus(f"folder:{folder}")).values():
        for i, utterance in enumerate(store.utterances):
            expected = soundfile.read(utterance.path, dtype="int16")[0]
            np.testing.assert_array_equal(store.samples(i), expected)
            np.testing.assert_allclose(store.waveform(i), expected / 32768, atol=1e-7)
            np.testing.assert_array_equal(store.crop(i, 320, 640), store.waveform(i)[320:960])
            assert store.num_samples[i] == len(expected)
            with pytest.raises(IndexError):
                store.crop(i, 320, len(expected))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1), (11_025, 6), (192_000, 1)])
def test_any_rate_and_channels_become_16_khz_mono(rate: int, channels: int, tmp_path: Path, cache: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, rate, hz=440, channels=channels), rate)
    corpus = load_corpus(f"folder:{tmp_path}")
    (store,) = [s for s in prepare_waveforms(corpus).values() if len(s)]
    assert store.num_samples.tolist() == [16_000]
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.corrcoef(store.waveform(0)[200:-200], expected[200:-200])[0, 1] > 0.99


def test_what_is_louder_than_full_scale_is_scaled_down_and_keeps_its_shape(tmp_path: Path, cache: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 2.0, -2.0, 0.5] * 1000), 16_000, subtype="FLOAT")
    (store,) = [s for s in prepare_waveforms(load_corpus(f"folder:{tmp_path}")).values() if len(s)]
    assert store.samples(0)[:4].tolist() == [0, 32767, -32768, 8192]


@pytest.mark.parametrize("samples", [1, 7, 8_000, 44_099, 44_101])
def test_resampling_gives_exactly_the_promised_length(samples: int) -> None:
    assert len(resample(np.zeros(samples, np.float32), 44_100)) == samples * 16_000 // 44_100


def test_utterances_cut_from_a_shard_are_the_shard_at_their_offsets(tmp_path: Path, cache: Path) -> None:
    wave = tone(10.0)
    soundfile.write(tmp_path / "shard.flac", wave, 16_000)
    items = tuple(
        Utterance(id=f"u{k}", path=str(tmp_path / "shard.flac"), offset=3_000 + 15_000 * k, num_samples=14_000)
        for k in range(10)
    )
    store = prepare_waveforms(Corpus("x", "x", {"pretrain": items}))["pretrain"]
    whole = soundfile.read(tmp_path / "shard.flac", dtype="int16")[0]
    for k in range(10):
        np.testing.assert_array_equal(store.samples(k), whole[3_000 + 15_000 * k :][:14_000])


def test_words_cut_out_of_a_sentence_are_its_samples(tmp_path: Path, cache: Path) -> None:
    soundfile.write(tmp_path / "shard.flac", tone(6.0), 16_000)
    spans = {
        "first": (0, 40_000),
        "word": (0, 5_000),
        "later": (30_000, 10_000),
        "over": (35_000, 9_000),
        "b": (50_000, 20_000),
    }
    path = str(tmp_path / "shard.flac")
    items = tuple(Utterance(id=name, path=path, offset=o, num_samples=n) for name, (o, n) in spans.items())
    store = prepare_waveforms(Corpus("x", "x", {"pretrain": items}))["pretrain"]
    whole = soundfile.read(path, dtype="int16")[0]
    for k, (offset, count) in enumerate(spans.values()):
        np.testing.assert_array_equal(store.samples(k), whole[offset : offset + count])


def test_worker_processes_decode_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(f"folder:{folder}")
    found = []
    for workers in (1, 3):
        monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / f"cache-{workers}"))
        found.append(prepare_waveforms(corpus, workers=workers)["pretrain"].audio_path.read_bytes())
    assert found[0] == found[1]


def test_a_second_call_decodes_nothing(folder: Path, cache: Path) -> None:
    corpus = load_corpus(f"folder:{folder}")
    first = prepare_waveforms(corpus)["pretrain"].audio_path
    inode = first.stat().st_ino
    again = prepare_waveforms(corpus, progress=lambda *_: pytest.fail("decoded twice"))["pretrain"].audio_path
    assert again.stat().st_ino == inode


def test_a_changed_file_is_decoded_anew(folder: Path, cache: Path) -> None:
    before = prepare_waveforms(load_corpus(f"folder:{folder}"))["pretrain"]
    target = before.utterances[0].path
    soundfile.write(target, 0.5 * tone(before.utterances[0].duration_s, seed=99), 16_000)
    after = prepare_waveforms(load_corpus(f"folder:{folder}"))["pretrain"]
    assert after.folder != before.folder
    assert not np.array_equal(after.samples(0), before.samples(0))


def test_a_damaged_cache_is_built_again(folder: Path, cache: Path) -> None:
    corpus = load_corpus(f"folder:{folder}")
    store = prepare_waveforms(corpus)["pretrain"]
    expected = store.audio_path.read_bytes()
    for damage in (
        lambda: os.truncate(store.audio_path, 100),
        lambda: (store.folder / "index.json").write_text("{torn"),
        (store.folder / "index.json").unlink,
    ):
        damage()
        assert prepare_waveforms(corpus)["pretrain"].audio_path.read_bytes() == expected


def test_nothing_half_written_is_left_or_taken_for_whole(folder: Path, cache: Path) -> None:
    corpus = load_corpus(f"folder:{folder}")
    Path(corpus.utterances[-1].path).write_bytes(b"")
    with pytest.raises(DataError, match="replace or delete the file"):
        prepare_waveforms(corpus)
    assert [p.name for p in (cache / "audio").iterdir() if p.is_dir()] == []


def test_a_read_only_cache_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(f"folder:{folder}")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError, match="GREENBENCH_CACHE") as caught:
        prepare_waveforms(corpus)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a file size limit")
def test_a_full_disk_is_one_line(folder: Path, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from greenbench.corpora.load import load_corpus\n"
        "from greenbench.features.waveforms import prepare_waveforms\n"
        "corpus = load_corpus(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try:\n    prepare_waveforms(corpus)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
    )
    environment = {**os.environ, "GREENBENCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, f"folder:{folder}"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert result.stdout.startswith("OutputError")
    assert "decoded audio cannot be stored" in result.stdout
    assert not [p for p in (tmp_path / "cache" / "audio").iterdir() if p.is_dir()]


def test_two_processes_at_once_do_not_disturb_each_other(folder: Path, tmp_path: Path) -> None:
    code = (
        "import hashlib, sys\n"
        "from greenbench.corpora.load import load_corpus\n"
        "from greenbench.features.waveforms import prepare_waveforms\n"
        "store = prepare_waveforms(load_corpus(sys.argv[1]))['pretrain']\n"
        "print(hashlib.sha256(b''.join(store.samples(i).tobytes() for i in range(len(store)))).hexdigest())\n"
    )
    environment = {**os.environ, "GREENBENCH_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code, f"folder:{folder}"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) for _ in range(4)
    ]
    outputs = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(outputs) == 1
    folders = [p for p in (tmp_path / "cache" / "audio").iterdir() if p.is_dir()]
    assert len(folders) == 1
    assert json.loads((folders[0] / "index.json").read_text())["samples"] > 0


def test_the_embedded_corpus_decodes_to_its_manifest(cache: Path) -> None:
    corpus = load_corpus("mini")
    sample = tuple(u for u in corpus.utterances if u.path.endswith("shard-0.opus"))[:40]
    store = prepare_waveforms(Corpus("part", "mini", {"pretrain": sample}))["pretrain"]
    assert len(store) == 40
    levels = [float(np.abs(store.waveform(i)).max()) for i in range(40)]
    assert min(levels) > 0.01
