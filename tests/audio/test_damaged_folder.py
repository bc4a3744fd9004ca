"""A folder with damaged files: the rest is used, and every file left out is listed with its reason."""

from __future__ import annotations

import json
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from greenbench.audio.info import probe_file, probe_header
from greenbench.corpora.load import load_corpus
from greenbench.corpora.summary import summarise
from greenbench.errors import DataError
from greenbench.features.waveforms import prepare_waveforms
from tests.tones import tone


def zero_channels(path: Path) -> None:
    """Write a WAV header that says 0 channels."""
    soundfile.write(path, tone(0.5), 16_000)
    data = bytearray(path.read_bytes())
    data[22:24] = struct.pack("<H", 0)
    path.write_bytes(bytes(data))


def truncated(path: Path, **options: str) -> None:
    soundfile.write(path, tone(2.0), 16_000, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_number(path: Path) -> None:
    wave = tone(1.0)
    wave[5000] = np.nan
    soundfile.write(path, wave, 16_000, subtype="FLOAT")


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated.wav": (truncated, "truncated"),
    "truncated.flac": (truncated, "truncated"),
    "truncated.ogg": (truncated, "truncated"),
    "truncated.opus": (lambda p: truncated(p, format="OGG", subtype="OPUS"), "truncated"),
    "empty.wav": (lambda p: p.write_bytes(b""), "0 bytes"),
    "text.wav": (lambda p: p.write_text("this is not audio\n" * 50), "cannot be decoded"),
    "nan.wav": (not_a_number, "NaN"),
    "zero-channels.wav": (zero_channels, "channels|cannot be decoded"),
    "no-samples.wav": (lambda p: soundfile.write(p, np.zeros(0), 16_000), "no samples"),
    "silent.wav": (lambda p: soundfile.write(p, np.zeros(16_000), 16_000), "silence"),
    "short.wav": (lambda p: soundfile.write(p, tone(0.02), 16_000), "shorter than 0.1 s"),
    "speech.m4a": (lambda p: p.write_bytes(b"\0\0\0\x18ftypM4A "), "convert it"),
}
UNUSUAL: dict[str, Callable[[Path], object]] = {
    "192khz.wav": lambda p: soundfile.write(p, tone(1.0, 192_000), 192_000),
    "8bit.wav": lambda p: soundfile.write(p, tone(1.0), 16_000, subtype="PCM_U8"),
    "six-channels.flac": lambda p: soundfile.write(p, tone(1.0, 44_100, channels=6), 44_100),
    "1s.mp3": lambda p: soundfile.write(p, tone(1.0, 44_100), 44_100),
    "loud.wav": lambda p: soundfile.write(p, 4 * tone(1.0), 16_000, subtype="FLOAT"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for k in range(12):
        soundfile.write(folder / f"good-{k}.wav", tone(0.5, seed=k), 16_000)
    return folder


def test_damaged_files_are_left_out_with_their_reasons(folder: Path, cache: Path) -> None:
    for name, (make, _) in DAMAGED.items():
        make(folder / name)
    for name, make_unusual in UNUSUAL.items():
        make_unusual(folder / name)
    corpus = load_corpus(f"folder:{folder}")
    reasons = {Path(item.path).name: item.reason for item in corpus.left_out}
    assert set(reasons) == set(DAMAGED)
    for name, (_, expected) in DAMAGED.items():
        assert re.search(expected, reasons[name]), (name, reasons[name])
    assert {Path(u.path).name for u in corpus.utterances} == {f"good-{k}.wav" for k in range(12)} | set(UNUSUAL)
    stores = prepare_waveforms(corpus)
    assert sum(len(stores[name]) for name in ("pretrain", "test")) == 17
    listed = summarise(corpus)["left_out"]
    assert {Path(item["path"]).name for item in listed} == set(DAMAGED)


@pytest.mark.slow
def test_a_run_trains_on_the_rest_of_a_damaged_folder_and_lists_what_it_left_out(folder: Path, cache: Path) -> None:
    """One file in twenty is damaged; the unusual ones, one of three hours among them, are used."""
    damaged = ("truncated.flac", "empty.wav", "text.wav", "nan.wav", "zero-channels.wav")
    for name in damaged:
        DAMAGED[name][0](folder / name)
    for name in ("192khz.wav", "8bit.wav"):
        UNUSUAL[name](folder / name)
    with soundfile.SoundFile(folder / "three-hours.flac", "w", 8000, 1) as file:
        minute = tone(60.0, 8000)
        for _ in range(180):
            file.write(minute)
    good = 20 * len(damaged) - len(damaged) - 3
    for k in range(good):
        soundfile.write(folder / f"good-{k}.wav", tone(0.5, seed=k), 16_000)
    out = folder.parent / "run"
    settings = (
        f"suite.data=folder:{folder}",
        "budget.steps=3",
        "suite.models=eco",
        "suite.controls=",
        "train.crop_seconds=4",
        "evaluate.tasks=effective_rank",
        "protocol.idle_seconds=0.2",
        "protocol.quiet_wait_seconds=0",
    )
    options = [part for text in settings for part in ("-o", text)]
    command = [sys.executable, "-m", "greenbench", "run", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{good + 3} files kept, {len(damaged)} left out" in done.stderr
    for name in damaged:
        assert re.search(rf"{re.escape(name)}: .*{DAMAGED[name][1]}", done.stderr), (name, done.stderr)
    (result,) = (json.loads(path.read_text()) for path in out.glob("*/result.json"))
    assert result["row"]["steps"] == 3
    # Four fifths of a piece of 20 s lie outside its crop of 4 s, and the result says so.
    assert result["row"]["padding_pct"] == 0
    assert 77 < result["row"]["cropped_pct"] < 81
    page = (out / "report" / "index.html").read_text()
    assert all(name in page for name in damaged)


@pytest.mark.slow
def test_a_file_of_three_hours_is_cut_by_offsets(folder: Path, cache: Path) -> None:
    hours = folder / "three-hours.flac"
    with soundfile.SoundFile(hours, "w", 8000, 1) as file:
        for k in range(180):
            file.write(tone(60.0, 8000, seed=k % 3))
    corpus = load_corpus(f"folder:{folder}")
    pieces = [u for u in corpus.utterances if u.path == str(hours)]
    assert len(pieces) == 540
    assert sum(u.num_samples for u in pieces) == 3 * 3600 * 8000
    assert len({u.split for u in pieces}) == 1
    assert {u.offset for u in pieces} == {k * 20 * 8000 for k in range(540)}
    stores = prepare_waveforms(corpus)
    side = "test" if pieces[0].split == "test" else "pretrain"
    index = next(i for i, u in enumerate(stores[side].utterances) if u.id == pieces[100].id)
    expected = soundfile.read(hours, start=pieces[100].offset, frames=160_000)[0]
    assert np.corrcoef(stores[side].waveform(index)[::2], expected)[0, 1] > 0.99
    assert not corpus.left_out


def test_nothing_usable_is_an_error_that_names_the_first_file(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(DataError, match=r"none of 1 files can be used; the first, .*a\.wav: cannot be decoded"):
        load_corpus(f"folder:{tmp_path}")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(DataError, match="no audio found"):
        load_corpus(f"folder:{tmp_path}")


def test_a_second_scan_opens_only_what_has_changed(folder: Path, cache: Path) -> None:
    first = load_corpus(f"folder:{folder}")
    (folder / "good-0.wav").write_bytes(b"")
    opened: list[str] = []
    second = load_corpus(f"folder:{folder}", progress=lambda text, fraction: opened.append(f"{text} {fraction:.2f}"))
    assert opened == ["reading audio files 1.00"]
    assert len(second.utterances) == len(first.utterances) - 1
    assert load_corpus(f"folder:{folder}", progress=lambda *_: pytest.fail("nothing has changed")).utterances


def test_a_scan_without_a_writable_cache_works_as_well(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "file" / "below"))
    assert len(load_corpus(f"folder:{folder}").utterances) == 12


def test_a_file_damaged_after_the_scan_is_named(folder: Path, cache: Path) -> None:
    corpus = load_corpus(f"folder:{folder}")
    soundfile.write(folder / "good-3.wav", tone(0.2), 16_000)
    with pytest.raises(DataError, match=r"good-3\.wav: ends after 3200 samples"):
        prepare_waveforms(corpus)
    assert not list((cache / "audio").glob("*.tmp"))


def test_header_and_content_agree_on_good_files(tmp_path: Path, write_audio: Callable[..., Path]) -> None:
    for name in ("a.wav", "a.flac", "a.ogg", "a.aiff"):
        path = str(write_audio(tmp_path / name, 1.3, 22_050))
        assert replace(probe_file(path), silent=(), digest="") == probe_header(path)
        assert probe_file(path).num_samples == 28_665


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_ends_a_scan(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    path = tmp_path / f"x{draw.choice(['.wav', '.flac', '.ogg', '.mp3', '.aiff', '.au', '.caf', '.w64'])}"
    soundfile.write(path, tone(1.0), 16_000)
    data = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 30)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(bytes(data[: draw.randint(1, len(data))]))
    info = probe_file(str(path))
    assert info.problem or info.num_samples > 0
