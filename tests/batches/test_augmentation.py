"""Noise has the ratio that was asked for, speed changes pitch by its factor, rooms keep the direct sound in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.batches.augment import (
    Augmentation,
    Augmenter,
    change_speed,
    coloured_noise,
    generated_room,
    mix,
    reverberate,
)
from greenbench.errors import DataError
from tests.tones import tone

SPEECH = torch.from_numpy(np.stack([tone(1.0, hz=400, seed=k) for k in range(6)]).astype(np.float32))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 40), min_size=6, max_size=6))
def test_the_ratio_of_powers_is_the_one_asked_for(snr_db: list[float]) -> None:
    noise = torch.randn(6, 16_000, generator=torch.Generator().manual_seed(0))
    added = mix(SPEECH, noise, torch.tensor(snr_db)) - SPEECH
    found = 10 * torch.log10(SPEECH.square().mean(1) / added.square().mean(1))
    torch.testing.assert_close(found, torch.tensor(snr_db), atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("factor", [0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0])
def test_speed_moves_the_pitch_by_its_factor(factor: float) -> None:
    changed = change_speed(SPEECH, factor)
    assert changed.shape == SPEECH.shape
    part = changed[0, : int(16_000 / max(factor, 1.0))]
    peak = torch.fft.rfft(part * torch.hann_window(len(part)), 65_536).abs().argmax().item() * 16_000 / 65_536
    assert peak == pytest.approx(400 * factor, rel=0.02)
    assert part[1000:-1000].abs().max() == pytest.approx(SPEECH[0].abs().max().item(), rel=0.1)


def test_convolution_is_the_one_by_definition() -> None:
    random = np.random.default_rng(0)
    speech, room = random.standard_normal(500), random.standard_normal(80)
    found = reverberate(torch.from_numpy(speech)[None], torch.from_numpy(room)[None])[0]
    np.testing.assert_allclose(found, np.convolve(speech, room)[:500], atol=1e-9)


def test_a_generated_room_begins_with_the_direct_sound_and_decays() -> None:
    room = generated_room(0.4, np.random.default_rng(0))
    assert room.abs().argmax() == 0
    early, late = room[1600:2400].square().mean(), room[4800:5600].square().mean()
    # 60 dB in 0.4 s are 30 dB in the 0.2 s between the two stretches.
    assert 10 * torch.log10(early / late) == pytest.approx(30, abs=2)


def test_generated_noise_has_the_power_of_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        assert coloured_noise(8000, random).square().mean() == pytest.approx(1.0, rel=1e-3)


def test_the_same_place_hears_the_same_and_another_place_another() -> None:
    every = Augmentation(noise_probability=0.8, speed_probability=0.8, reverb_probability=0.8)
    one, two, other = (Augmenter(every, seed=seed) for seed in (1, 1, 2))
    torch.testing.assert_close(one(SPEECH, 2, 5), two(SPEECH, 2, 5), atol=0, rtol=0)
    for place in ((2, 6), (3, 5)):
        assert not torch.allclose(one(SPEECH, 2, 5), one(SPEECH, *place))
    assert not torch.allclose(one(SPEECH, 2, 5), other(SPEECH, 2, 5))


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    assert not Augmentation().is_active
    torch.testing.assert_close(Augmenter(Augmentation(), seed=0)(SPEECH, 0, 0), SPEECH, atol=0, rtol=0)


def test_nothing_leaves_full_scale_and_the_input_is_kept() -> None:
    loud = 3 * SPEECH.clone()
    before = loud.clone()
    result = Augmenter(Augmentation(noise_probability=1.0, snr_db=(-5.0, -5.0)), seed=0)(loud, 0, 0)
    assert result.abs().max() <= 1.0 + 1e-6
    torch.testing.assert_close(loud, before)


def test_the_users_own_noise_and_rooms_are_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", tone(0.5, 8000, hz=1000), 8000)
    (tmp_path / "broken.wav").write_text("no audio")
    own = Augmentation(noise_probability=1.0, noise=str(tmp_path), snr_db=(0.0, 0.0))
    added = Augmenter(own, seed=0)(0.1 * SPEECH, 0, 0) - 0.1 * SPEECH
    peak = torch.fft.rfft(added[0]).abs().argmax().item()
    assert peak == pytest.approx(1000, abs=5)
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    response = np.zeros(2000)
    response[300], response[300 + 160] = 0.8, 0.4
    soundfile.write(rooms / "room.wav", response, 16_000)
    heard = Augmenter(Augmentation(reverb_probability=1.0, reverb=str(rooms)), seed=0)(SPEECH, 0, 0)
    expected = SPEECH.clone()
    expected[:, 160:] += 0.5 * SPEECH[:, :-160]
    torch.testing.assert_close(heard, expected / 1.25**0.5, atol=1e-3, rtol=1e-2)


def test_impossible_settings_and_empty_folders_are_named(tmp_path: Path) -> None:
    for change in ({"noise_probability": 1.5}, {"speeds": (3.0,)}, {"snr_db": (20.0, 5.0)}, {"t60_s": (0.0, 1.0)}):
        with pytest.raises(ValueError, match=next(iter(change))):
            Augmentation(**change)
    with pytest.raises(DataError, match="no readable sound"):
        Augmenter(Augmentation(noise_probability=1.0, noise=str(tmp_path)), seed=0)
