"""Targets made anew: batches cover all speech, labels are those of one-by-one passes, costs add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.batches.batch import Batch
from greenbench.cards import resolve
from greenbench.cost.measure import count_call
from greenbench.cost.steps import PassFlops
from greenbench.cost.subject import give_targets, make_batch, step_info
from greenbench.errors import ConfigError
from greenbench.models.base import Upstream
from greenbench.models.kmeans import fit_units, sample_utterances
from greenbench.models.registry import build
from greenbench.models.relabel import BATCH_S, LONGEST_PIECE_S, plan_pieces, relabel

CPU = torch.device("cpu")
TINY = {"layers": 4, "width": 32, "heads": 2, "feed_forward": 64, "conv_pos_kernel": 16, "conv_pos_groups": 4}
STAGED: dict[str, dict[str, Any]] = {
    "melhubert": {"encoder": TINY, "targets": {"units": 12}, "relabelling": {"at": [0.5], "units": 7}},
    "hubert": {
        "encoder": {**TINY, "conv_channels": 16},
        "targets": {"units": 12},
        "relabelling": {"at": [250 / 650], "units": 7},
    },
    "mhubert": {"encoder": {**TINY, "conv_channels": 16}, "targets": {"units": 12}, "relabelling": {"at": [0.3, 0.6]}},
    "eco": {
        "encoder": {"width": 16, "pattern": "ca", "heads": 2},
        "targets": {"units": 7},
        "relabelling": {"at": [0.5]},
    },
}


class Speech:
    """Utterances of noise with different lengths, as target makers see them."""

    def __init__(self, model: Upstream, lengths: list[int]) -> None:
        random = np.random.default_rng(3)
        self.num_samples = np.array(lengths)
        self.waves = [(0.1 * random.standard_normal(n)).astype(np.float32) for n in lengths]
        spec = model.feature_spec
        self.mels = [] if spec is None else [random.standard_normal((n // 160, spec.dim)) for n in lengths]

    def waveform(self, index: int) -> np.ndarray:
        return self.waves[index]

    def features(self, index: int) -> np.ndarray:
        return self.mels[index].astype(np.float16)


def staged(name: str) -> Upstream:
    torch.manual_seed(0)
    return build(resolve(name, "tiny", STAGED[name])).eval()


def remake(model: Upstream, data: Speech, seed: int = 0) -> None:
    with torch.no_grad():
        model.remake_targets(data, seed=seed, device=CPU, progress=lambda *_: None, flops_of_pass=lambda b, n: b * n)


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(300, 900_000), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_pieces_cover_every_utterance_once_but_for_a_short_tail(lengths: list[int], seed: int) -> None:
    num_samples = np.array(lengths)
    chosen = np.random.default_rng(seed).permutation(len(lengths))[: max(1, len(lengths) // 2)]
    plans = plan_pieces(num_samples, chosen)
    covered = {int(u): np.zeros(num_samples[u], dtype=int) for u in chosen}
    for plan in plans:
        assert plan.num_samples % 640 == 0
        assert plan.num_samples <= LONGEST_PIECE_S * 16_000
        assert len(plan.utterances) == 1 or len(plan.utterances) * plan.num_samples <= BATCH_S * 16_000
        for utterance, start in zip(plan.utterances, plan.starts, strict=True):
            assert start % 640 == 0
            assert start + plan.num_samples <= num_samples[utterance]
            covered[int(utterance)][start : start + plan.num_samples] += 1
    for utterance, count in covered.items():
        assert count.max(initial=0) <= 1
        if num_samples[utterance] < 1600:
            assert not count.any()
        else:
            pieces = -(-num_samples[utterance] // (16 * 16_000))
            assert (count == 0).sum() <= 0.02 * num_samples[utterance] + 640 * pieces


@pytest.mark.parametrize("name", ["melhubert", "hubert", "eco"])
def test_batched_labels_are_those_of_one_utterance_at_a_time(name: str) -> None:
    model = staged(name)
    data = Speech(model, [16_000, 40_320, 16_000, 700, 25_000, 40_400, 20_160])
    with torch.no_grad():
        labels, _ = relabel(
            model,
            data,
            k=7,
            fit_seconds=4.0,
            hop_samples=320,
            seed=5,
            device=CPU,
            progress=lambda *_: None,
            flops_of_pass=lambda *_: 0.0,
        )

        def alone(index: int) -> np.ndarray:
            samples = data.num_samples[index] // 640 * 640
            wave = None if data.mels else torch.from_numpy(data.waves[index][None, :samples])
            mel = torch.from_numpy(data.features(index)[None, : samples // 160]).float() if data.mels else None
            return model.target_features(Batch(wave, mel, samples, np.array([index]), np.array([0])))[0].numpy()

        usable = [i for i in range(7) if data.num_samples[i] >= 1600]
        chosen = [int(i) for i in sample_utterances(data.num_samples, 4.0, seed=5) if i in usable]
        order = sorted(chosen, key=lambda i: -(data.num_samples[i] // 640))
        units = fit_units(np.concatenate([alone(i) for i in order]), 7, seed=5)
        for index in usable:
            expected = units.assign(torch.from_numpy(alone(index))).numpy()
            begin, end = labels.offsets[index : index + 2]
            found = labels.labels[begin:end]
            assert end - begin == data.num_samples[index] // 320
            # A batch is cut to its shortest crop, so the last frames of a longer one see a shorter context.
            agree = (found[: len(expected)] == expected).mean()
            assert agree > 0.9, (index, agree)
    assert labels.labels.min() >= 0


@pytest.mark.parametrize("name", STAGED)
def test_each_stage_trains_a_head_of_its_own_on_units_of_the_middle_layer(name: str) -> None:
    model = staged(name)
    give_targets(model)
    batch = make_batch(model, 2, 16_000, "cpu")
    later = {"eco": "predict_later.", "melhubert": "predict_later."}.get(name, "later_embeddings.")
    data = Speech(model, [32_000, 24_000, 30_000])
    for stage in range(len(model.relabel_at) + 1):
        model.zero_grad(set_to_none=True)
        loss, _ = model.loss(batch, step_info())
        loss.backward()
        heads = {n for n, p in model.named_parameters() if n.startswith(later) and p.grad is not None}
        assert heads == ({n for n, _ in model.named_parameters() if n.startswith(f"{later}{stage - 1}")})
        if stage < len(model.relabel_at):
            before = model.labels
            remake(model, data)
            assert model.stage == stage + 1
            assert model.labels is not before
    assert 1 < len(np.unique(model.labels.labels)) <= model.later_units


@pytest.mark.parametrize("name", STAGED)
def test_remade_targets_come_back_with_their_stage(name: str) -> None:
    model = staged(name)
    remake(model, Speech(model, [32_000, 24_000]))
    restored = staged(name)
    restored.load_targets_state(model.targets_state())
    assert restored.stage == model.stage == 1
    assert np.array_equal(restored.labels.labels, model.labels.labels)


@pytest.mark.parametrize("name", ["melhubert", "hubert"])
def test_the_pass_stops_at_the_clustered_layer_and_costs_accordingly(name: str) -> None:
    model = staged(name)
    batch = make_batch(model, 1, 32_000, "cpu")
    with torch.no_grad():
        states, features = model.hidden_states(batch), model.target_features(batch)
        assert torch.allclose(features, states[2], atol=1e-5)
        assert len(model.hidden_states(batch)) == len(states), "all layers are back"
    whole = count_call(model, lambda m, b: m.hidden_states(b), 1, 32_000)
    passes = PassFlops(model)
    assert passes(1, 32_000) < whole
    for size, samples in ((3, 80_000), (1, 200_000)):
        counted = count_call(model, lambda m, b: m.target_features(b), size, samples)
        assert passes(size, samples) == pytest.approx(counted, rel=0.01)


def test_passes_fit_and_assignment_are_counted() -> None:
    model = staged("melhubert")
    data = Speech(model, [32_000, 24_000, 32_000])
    remake(model, data)
    samples = 2 * 32_000 + 23_680  # the last one loses half a frame of 25 Hz
    passes, assignment = samples, 2.0 * (samples / 320) * 7 * 32
    # Eight passes of mini-batch k-means, and its start on the same frames with 2 + log k candidates a centroid.
    fit = 8 * assignment + (2 + np.log(7)) * assignment
    assert model.extra_flops() == pytest.approx(passes + assignment + fit)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hubert", {"at": [1.2]}, r"\[models.hubert.relabelling\]: at = \[1.2\] must rise and lie between 0 and 1"),
        ("eco", {"at": [0.6, 0.4]}, "must rise"),
        ("eco", {"restart": True}, r"unknown key 'restart'"),
        ("melhubert", {"layer": 5}, "between 1 and 4"),
    ],
)
def test_bad_stages_are_refused_with_what_is_allowed(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(resolve(name, "tiny", {**STAGED[name], "relabelling": options}))


def test_one_stage_is_the_default_and_adds_no_parameters() -> None:
    for name in ("melhubert", "hubert", "eco"):
        plain = build(resolve(name, "tiny"))
        assert plain.relabel_at == ()
        assert not plain.restarts
        assert not [n for n, _ in plain.named_parameters() if "later" in n], name
