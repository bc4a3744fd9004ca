"""Log-mel and MFCC agree with Kaldi's definition: stored golden values, a slow reference, and a second library."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.features.extract import extract, padded_length, reflect_into
from greenbench.features.mel import cosine_transform, mel_bank
from greenbench.features.spec import KALDI_FBANK_40, KALDI_MFCC_13, LOGMEL_80, FeatureSpec
from tests.reference import kaldi_features as reference

GOLDEN = json.loads(Path(__file__).with_name("golden_features.json").read_text())


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return reference.signal()


def as_tensor(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(samples.astype(np.float32))


@pytest.mark.parametrize(("name", "spec"), [("kaldi_fbank_40", KALDI_FBANK_40), ("kaldi_mfcc_13", KALDI_MFCC_13)])
def test_golden_values_are_met(name: str, spec: FeatureSpec, signal: np.ndarray) -> None:
    features = extract(as_tensor(signal), spec).numpy()
    assert features.shape == (25, spec.dim)
    for frame, values in GOLDEN[name].items():
        np.testing.assert_allclose(features[int(frame)], values, atol=5e-3)


def test_all_frames_agree_with_the_slow_reference(signal: np.ndarray) -> None:
    short = signal[:1999]
    expected = reference.fbank(short * 32768, n_mels=40, window="hamming")
    np.testing.assert_allclose(extract(as_tensor(short), KALDI_FBANK_40).numpy(), expected, atol=5e-3)


def oracle(samples: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Compute log-mel with transformers, whose frames begin at t * hop; the signal is shifted to match ours."""
    from transformers import audio_utils

    filters = kaldi_filters(spec) if spec.mel_scale == "kaldi" else slaney_filters(spec)
    window = audio_utils.window_function(spec.window_samples, spec.window, periodic=spec.periodic)
    power = audio_utils.spectrogram(
        samples * spec.scale,
        window,
        frame_length=spec.window_samples,
        hop_length=spec.hop_samples,
        fft_length=spec.n_fft,
        power=2.0,
        center=False,
        preemphasis=spec.preemphasis or None,
        remove_dc_offset=spec.remove_dc,
        mel_filters=filters,
        mel_floor=max(spec.log_floor, 1e-30),
    )
    return np.log(power.T + spec.log_offset)


def kaldi_filters(spec: FeatureSpec) -> np.ndarray:
    """Return the library's bands drawn over the mel axis; Kaldi leaves the bin at the Nyquist frequency out."""
    from transformers import audio_utils

    filters = audio_utils.mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=spec.n_mels,
        min_frequency=spec.f_min,
        max_frequency=spec.f_max,
        sampling_rate=16_000,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return np.pad(filters[:256], ((0, 1), (0, 0)))


def slaney_filters(spec: FeatureSpec, norm: str | None = None) -> np.ndarray:
    """Return the library's bands drawn over Hz."""
    from transformers import audio_utils

    return audio_utils.mel_filter_bank(
        num_frequency_bins=spec.n_fft // 2 + 1,
        num_mel_filters=spec.n_mels,
        min_frequency=spec.f_min,
        max_frequency=spec.f_max,
        sampling_rate=16_000,
        norm=norm,
        mel_scale="slaney",
    )


@pytest.mark.parametrize("spec", [LOGMEL_80, KALDI_FBANK_40, dataclasses.replace(KALDI_FBANK_40, n_mels=80)])
def test_a_second_library_gives_the_same_values(spec: FeatureSpec, signal: np.ndarray) -> None:
    margin = (spec.window_samples - spec.hop_samples) // 2
    ours = extract(as_tensor(signal), spec).numpy()[1:]
    theirs = oracle(signal[spec.hop_samples - margin :], spec)
    assert len(theirs) >= 22
    np.testing.assert_allclose(ours[: len(theirs)], theirs, atol=5e-3)


@pytest.mark.parametrize("norm", ["none", "slaney"])
def test_a_second_library_draws_the_same_slaney_bands(norm: str) -> None:
    theirs = slaney_filters(LOGMEL_80, None if norm == "none" else norm)
    np.testing.assert_allclose(mel_bank(dataclasses.replace(LOGMEL_80, mel_norm=norm)), theirs, atol=1e-10)


def test_the_cosine_transform_is_the_orthonormal_dct() -> None:
    spec = dataclasses.replace(KALDI_MFCC_13, cepstral_lifter=0.0)
    x = np.random.default_rng(0).standard_normal((5, 23))
    np.testing.assert_allclose(x @ cosine_transform(spec), scipy.fft.dct(x, norm="ortho")[:, :13], atol=1e-12)


def test_no_band_of_the_presets_is_empty() -> None:
    for spec in (LOGMEL_80, KALDI_FBANK_40, KALDI_MFCC_13):
        assert (mel_bank(spec).sum(0) > 0.05).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([LOGMEL_80, KALDI_FBANK_40]))
def test_there_are_as_many_frames_as_whole_hops(samples: int, spec: FeatureSpec) -> None:
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    features = extract(wave, spec)
    assert features.shape == (2, samples // 160, spec.n_mels)
    assert torch.isfinite(features).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700))
def test_reflection_continues_signals_of_any_length(samples: int) -> None:
    x = np.random.default_rng(samples).standard_normal(samples)
    padded = np.full(padded_length(samples, LOGMEL_80), np.nan)
    reflect_into(padded, x, LOGMEL_80)
    frames = samples // 160
    for t in range(frames):
        np.testing.assert_array_equal(padded[160 * t : 160 * t + 400], reference.frame_at(x, t, 400, 160))


def test_a_crop_at_a_multiple_of_the_hop_has_the_same_inner_frames(signal: np.ndarray) -> None:
    whole = extract(as_tensor(signal), LOGMEL_80)
    crop = extract(as_tensor(signal[640:2560]), LOGMEL_80)
    torch.testing.assert_close(crop[1:-1], whole[5:15], atol=1e-4, rtol=1e-4)


def test_stacking_concatenates_neighbours(signal: np.ndarray) -> None:
    plain = extract(as_tensor(signal), LOGMEL_80)
    stacked = extract(as_tensor(signal), dataclasses.replace(LOGMEL_80, stack=2))
    assert stacked.shape == (12, 160)
    torch.testing.assert_close(stacked[3], plain[6:8].flatten())


@pytest.mark.parametrize(
    ("change", "message"), [({"n_fft": 256}, "n_fft"), ({"f_max": 9000.0}, "f_max"), ({"window_ms": 5.0}, "window_ms")]
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LOGMEL_80, **change)
