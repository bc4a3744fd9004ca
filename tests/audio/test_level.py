"""Samples outside full scale, silence in disguise, channels that cancel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench.audio.info import probe_file
from greenbench.corpora.describe import as_note, describe
from greenbench.corpora.load import load_corpus
from greenbench.corpora.summary import summarise
from greenbench.features.waveforms import prepare_waveforms
from tests.tones import tone

WAVE = tone(0.5, seed=5)


def stored(folder: Path, name: str) -> np.ndarray:
    corpus = load_corpus(f"folder:{folder}")
    for store in prepare_waveforms(corpus).values():
        for index, utterance in enumerate(store.utterances):
            if utterance.id == name:
                return store.waveform(index)
    raise AssertionError(f"{name} is not kept")


@pytest.mark.parametrize(
    ("factor", "subtype", "gain"),
    [
        (1.0, "FLOAT", 1.0),
        (32768.0, "FLOAT", 1 / 32768),
        (32768.0, "DOUBLE", 1 / 32768),
        (9.0, "FLOAT", None),
        (1.0, "PCM_24", 1.0),
    ],
)
def test_a_file_beyond_full_scale_keeps_its_shape(
    factor: float, subtype: str, gain: float | None, tmp_path: Path, cache: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", factor * WAVE, 16_000, subtype=subtype)
    gain = gain or 1 / (factor * np.abs(WAVE).max())
    assert probe_file(str(tmp_path / "a.wav")).gain == pytest.approx(gain, rel=1e-6)
    heard = stored(tmp_path, "a")
    assert np.abs(heard - gain * factor * WAVE).max() < 1e-4
    assert (np.abs(heard) > 0.999).mean() < 0.001


def test_whole_numbers_of_16_bits_are_recognised_however_quiet(tmp_path: Path, cache: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.rint(12 * WAVE / np.abs(WAVE).max()), 16_000, subtype="FLOAT")
    assert np.abs(stored(tmp_path, "a")).max() == 12 / 32768


def test_a_scale_that_nobody_knows_is_left_out_and_a_known_one_is_noted(tmp_path: Path, cache: Path) -> None:
    soundfile.write(tmp_path / "24bit.wav", 8e6 * WAVE, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "16bit.wav", 3e4 * WAVE, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", WAVE, 16_000)
    summary = describe(f"folder:{tmp_path}")
    assert [Path(item["path"]).name for item in summary["left_out"]] == ["24bit.wav"]
    assert "where 1 is full scale" in summary["left_out"][0]["reason"]
    assert any("1 files hold samples beyond full scale" in note and "16bit.wav" in note for note in summary["notes"])
    assert "beyond full scale" in as_note(summary)


def test_an_overshoot_of_a_lossy_codec_is_no_other_scale(tmp_path: Path) -> None:
    square = 0.99 * np.sign(np.sin(np.arange(16_000) / 30))
    soundfile.write(tmp_path / "a.ogg", square, 16_000)
    assert np.abs(soundfile.read(tmp_path / "a.ogg")[0]).max() > 1
    assert probe_file(str(tmp_path / "a.ogg")).gain == 1.0


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (np.stack([WAVE, -WAVE], axis=1), "channels cancel"),
        (np.stack([WAVE, -0.97 * WAVE], axis=1), "channels cancel"),
        (np.stack([WAVE + 0.2, -WAVE + 0.2], axis=1), "channels cancel"),
        (np.zeros((8000, 2)), "silence"),
        (np.full(8000, 0.25), "every sample is the same"),
        (1e-5 * WAVE, "less than one step of 16 bits"),
        (np.stack([WAVE, WAVE], axis=1), None),
        (np.stack([WAVE, np.zeros(8000)], axis=1), None),
        (np.stack([WAVE, tone(0.5, hz=900, seed=6)], axis=1), None),
        (np.random.default_rng(0).standard_normal((8000, 6)) / 10, None),
    ],
)
def test_what_nobody_would_hear_is_left_out(wave: np.ndarray, reason: str | None, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    info = probe_file(str(tmp_path / "a.wav"))
    problem = info.problem_of(None)
    assert (problem is None) if reason is None else (reason in str(problem))
    if reason == "channels cancel":
        assert info.problem_of(0) is None


def test_only_the_channel_that_is_asked_for_must_be_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([WAVE, np.zeros(8000)], axis=1), 16_000)
    info = probe_file(str(tmp_path / "a.wav"))
    assert info.problem_of(0) is None
    assert "silence" in str(info.problem_of(1))
    assert "the file has 2" in str(info.problem_of(2))


def test_the_summary_of_a_corpus_names_copies_across_its_own_splits(tmp_path: Path, cache: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for k in range(2):
            soundfile.write(tmp_path / split / f"{split}{k}.wav", tone(0.5, seed=k), 16_000)
    soundfile.write(tmp_path / "train" / "own.wav", tone(0.5, seed=9), 16_000)
    (note,) = summarise(load_corpus(f"folder:{tmp_path}"))["notes"]
    assert note.startswith("2 training files hold the same samples as a test file")


def test_copies_are_never_on_both_sides_of_a_split_by_hash(tmp_path: Path, cache: Path) -> None:
    for k in range(20):
        for name in (f"take-{k}", f"copy-of-{k}", f"again-{k}"):
            soundfile.write(tmp_path / f"{name}.wav", tone(0.2, seed=k), 16_000)
    corpus = load_corpus(f"folder:{tmp_path}")
    sides: dict[str, set[str]] = {u.id.rpartition("-")[2]: set() for u in corpus.utterances}
    for utterance in corpus.utterances:
        sides[utterance.id.rpartition("-")[2]].add(utterance.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {side for group in sides.values() for side in group} == {"train", "test"}
