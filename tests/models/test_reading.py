"""Any log-mel model can read its input as eco does: freed of level, room and vocal tract."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from greenbench.cards import resolve
from greenbench.cost.subject import step_info
from greenbench.errors import ConfigError
from greenbench.features.spec import KALDI_FBANK_40, FeatureSpec
from greenbench.models.base import Batch, Upstream
from greenbench.models.reading import MelInputs, MelReading, Reads
from greenbench.models.registry import build
from greenbench.units import SAMPLE_RATE

NAMES = ["melhubert", "fnet", "summarymixing", "best-rq"]
ENCODER = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 16}
POSITIONS = {"conv_pos_kernel": 4, "conv_pos_groups": 2}
SMALL = {name: {"encoder": ENCODER | POSITIONS, "targets": {"units": 5}} for name in NAMES}
SMALL["best-rq"] = {"encoder": ENCODER, "quantizer": {"codewords": 8}}


class Audio:
    """Log-mel frames of a few utterances with formants that move, at another level and offset each."""

    def __init__(self, spec: FeatureSpec, utterances: int = 6) -> None:
        random = np.random.default_rng(0)
        self.num_samples = np.full(utterances, 2 * SAMPLE_RATE)
        moves = random.standard_normal((utterances, 200, spec.n_mels)).cumsum(axis=1)
        level = random.standard_normal((utterances, 1, spec.n_mels))
        self.frames = (0.2 * moves + 3 * level).astype(np.float16)

    def features(self, index: int) -> np.ndarray:
        return self.frames[index]

    def waveform(self, index: int) -> np.ndarray:
        raise AssertionError("log-mel models read no waveform")

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        raise AssertionError(f"nobody asked for {spec}")


def model_of(name: str, reads: str) -> Upstream:
    torch.manual_seed(0)
    return build(resolve(name, "tiny", SMALL[name] | {"inputs": {"reads": reads}})).eval()


def batch_of(audio: Audio, change: Callable[[Tensor], Tensor] = lambda x: x) -> Batch:
    features = change(torch.from_numpy(audio.frames).float())
    rows = len(features)
    return Batch(None, features, 2 * SAMPLE_RATE, np.arange(rows), np.zeros(rows, dtype=np.int64))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reads", ["utterance", "tract"])
def test_a_gain_of_each_band_changes_nothing_for_a_model_that_normalises(name: str, reads: str) -> None:
    model = model_of(name, reads)
    audio = Audio(model.feature_spec or KALDI_FBANK_40)
    model.fit_reading(audio, seed=0)
    with torch.no_grad():
        heard = model.hidden_states(batch_of(audio))[-1]
        louder = model.hidden_states(batch_of(audio, lambda x: x + 2.0))[-1]
        plain = model_of(name, "plain")
        changed = plain.hidden_states(batch_of(audio, lambda x: x + 2.0))[-1] - plain.hidden_states(batch_of(audio))[-1]
    torch.testing.assert_close(heard, louder, atol=1e-3, rtol=1e-3)
    assert changed.abs().max() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_counts_what_fitting_costs(name: str) -> None:
    model = model_of(name, "tract").train()
    audio = Audio(model.feature_spec or KALDI_FBANK_40)
    model.make_targets(audio, seed=0, device=torch.device("cpu"), progress=lambda *_: None)
    plain = model_of(name, "plain")
    plain.make_targets(audio, seed=0, device=torch.device("cpu"), progress=lambda *_: None)
    assert model.extra_flops() > plain.extra_flops()
    loss, _ = model.loss(batch_of(audio), step_info())
    loss.backward()
    assert torch.isfinite(loss)


def test_the_control_of_random_weights_reads_as_the_trained_model_does() -> None:
    """``fit_reading`` alone finds what ``make_targets`` finds, and leaves the weights as they were drawn."""
    trained, control = model_of("melhubert", "tract"), model_of("melhubert", "tract")
    audio = Audio(KALDI_FBANK_40)
    drawn = {name: p.clone() for name, p in control.named_parameters()}
    trained.make_targets(audio, seed=3, device=torch.device("cpu"), progress=lambda *_: None)
    control.fit_reading(audio, seed=3)
    for name, values in trained.reading.state_dict().items():
        assert torch.equal(values, control.reading.state_dict()[name])
    assert control.reading.found is not None
    assert control.reading.found.centroids.abs().sum() > 0
    assert all(torch.equal(p, drawn[name]) for name, p in control.named_parameters())


def test_an_unknown_way_of_reading_is_named() -> None:
    with pytest.raises(ConfigError, match=r"inputs\] reads: found 'voice'; allowed: plain, tract, utterance"):
        build(resolve("melhubert", "tiny", {"inputs": {"reads": "voice"}}))


def reading(reads: Reads) -> MelReading:
    return MelReading(MelInputs(reads), KALDI_FBANK_40)


def test_reading_costs_what_choosing_a_tract_costs() -> None:
    assert reading("utterance").macs(100) == 0
    assert reading("tract").macs(200) > reading("tract").macs(100) > 0
