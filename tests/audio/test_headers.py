"""Headers that do not tell the truth about what follows: audio is kept whole and right, or left out with a reason."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenbench.audio.decode import DecodeJob, DecodePart, decode_into
from greenbench.audio.info import probe_file
from tests.tones import tone

SAMPLES = 20_000
WAVE = tone(SAMPLES / 16_000, seed=3)
FORMATS = {"wav": {}, "rf64": {"format": "RF64"}, "w64": {}, "aiff": {}, "au": {}, "caf": {}, "flac": {}, "ogg": {}}
FORMATS |= {"opus": {"format": "OGG", "subtype": "OPUS"}, "mp3": {}}
Change = Callable[[bytes], bytes]


def encoded(name: str, folder: Path) -> bytes:
    path = folder / f"whole.{name}"
    soundfile.write(path, WAVE, 16_000, **FORMATS[name])
    return path.read_bytes()


def at(offset: int, value: bytes) -> Change:
    return lambda data: data[:offset] + value + data[offset + len(value) :]


def flac_length(samples: int) -> Change:
    def change(data: bytes) -> bytes:
        field = int.from_bytes(data[18:26], "big") >> 36 << 36 | samples
        return at(18, field.to_bytes(8, "big"))(data)

    return change


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


KEPT: list[tuple[str, str, Change]] = [
    ("flac", "no length, as a stream has it", flac_length(0)),
    ("flac", "an old length, from before the recording went on", flac_length(5000)),
    ("flac", "a tag before it", lambda data: b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + data),
    ("flac", "a tag before it and no length", lambda data: b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + flac_length(0)(data)),
    ("flac", "a tag behind it and no length", lambda data: flac_length(0)(data) + b"TAG" + b" " * 125),
    ("wav", "length 0, as a recorder leaves it that was killed", at(40, u32(0))),
    ("wav", "length 0 in both places", lambda data: at(4, u32(0))(at(40, u32(0))(data))),
    ("wav", "the largest length, as FFmpeg writes to a pipe", at(40, u32(0xFFFFFFFF))),
    ("wav", "SoX's length for a pipe", at(40, u32(0x7FFFF000))),
    ("wav", "a list of tags behind the audio", lambda data: data + b"LIST" + u32(4) + b"INFO"),
    ("wav", "an ID3 tag as a chunk", lambda data: data + b"id3 " + u32(3000) + bytes(3000)),
    ("wav", "zeros behind the audio", lambda data: data + bytes(5000)),
]
LEFT_OUT: list[tuple[str, str, Change, str]] = [
    ("flac", "more samples stated than there are", flac_length(50_000), "truncated"),
    ("flac", "no length and cut off", lambda data: flac_length(0)(data)[:-300], "truncated"),
    ("wav", "a length that ends in the middle", at(40, u32(1000)), "header ends the audio .* before the file does"),
    ("wav", "a length beyond 4 GiB that wrapped", at(40, u32(2 * SAMPLES % 7000)), "header ends the audio"),
    ("wav", "a length beyond the end", at(40, u32(2 * SAMPLES + 5000)), "truncated .5000 bytes"),
    ("au", "a length that ends in the middle", at(8, struct.pack(">I", 1000)), "header ends the audio"),
    ("mp3", "a table of frames that counts too few", lambda data: data + data, "its frames hold"),
]


@pytest.mark.parametrize(("name", "what", "change"), KEPT, ids=[f"{n}-{w}" for n, w, _ in KEPT])
def test_a_recording_is_kept_whole_whatever_its_header_says_about_the_length(
    name: str, what: str, change: Change, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{name}"
    path.write_bytes(change(encoded(name, tmp_path)))
    info = probe_file(str(path))
    assert (info.problem, info.num_samples) == (None, SAMPLES)
    # Stretches from the end, the middle and the begin, as a manifest may ask for them.
    (tmp_path / "out").write_bytes(bytes(2 * SAMPLES))
    parts = tuple(DecodePart(b, e - b, b) for b, e in ((15_000, SAMPLES), (5000, 15_000), (0, 5000)))
    assert decode_into(DecodeJob(str(path), parts, str(tmp_path / "out"))) is None
    decoded = np.frombuffer((tmp_path / "out").read_bytes(), np.int16)
    assert np.abs(decoded / 32768 - WAVE).max() < 1e-4


@pytest.mark.parametrize(("name", "what", "change", "reason"), LEFT_OUT, ids=[f"{n}-{w}" for n, w, *_ in LEFT_OUT])
def test_a_recording_whose_length_nobody_knows_is_left_out(
    name: str, what: str, change: Change, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{name}"
    path.write_bytes(change(encoded(name, tmp_path)))
    problem = probe_file(str(path)).problem
    assert problem is not None
    assert re.search(reason, problem), problem


@pytest.mark.parametrize("name", FORMATS)
def test_two_recordings_joined_by_cat_are_never_taken_for_the_first_alone(name: str, tmp_path: Path) -> None:
    data = encoded(name, tmp_path)
    path = tmp_path / f"x.{name}"
    path.write_bytes(data + data)
    info = probe_file(str(path))
    assert info.problem or info.num_samples >= 2 * SAMPLES


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_copy_that_broke_off_is_never_silently_shorter(name: str, tmp_path: Path, data: st.DataObject) -> None:
    whole = encoded(name, tmp_path)
    path = tmp_path / f"x.{name}"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
    info = probe_file(str(path))
    # What may be missing is a chunk behind the audio.
    assert info.problem or info.num_samples == SAMPLES


def test_an_mp3_that_broke_off_between_two_frames_is_truncated(tmp_path: Path) -> None:
    data = encoded("mp3", tmp_path)
    last = data.rfind(data[:2])
    path = tmp_path / "x.mp3"
    path.write_bytes(data[:last])
    assert re.search(r"it holds \d+ frames of \d+", str(probe_file(str(path)).problem))


def test_an_ogg_without_its_last_page_is_truncated(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.ogg", tone(8.0), 16_000)
    data = (tmp_path / "long.ogg").read_bytes()
    (tmp_path / "x.ogg").write_bytes(data[: data.rfind(b"OggS")])
    assert "no Ogg page is marked as the last" in str(probe_file(str(tmp_path / "x.ogg")).problem)
