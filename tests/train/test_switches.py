"""Each switch of training does what it says: averages, skips layers, computes features again, names what is missing."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from greenbench.batches.loader import BatchLoader
from greenbench.cards import Recipe, resolve
from greenbench.cost.model_cost import count
from greenbench.cost.steps import BatchFlops
from greenbench.cost.subject import step_info
from greenbench.errors import ConfigError, DeviceError
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.spec import LOGMEL_80
from greenbench.features.store import FeatureStore
from greenbench.models.base import Batch, Upstream
from greenbench.models.draws import Draws
from greenbench.models.kmeans import UnitLabels
from greenbench.models.layer_drop import drop_layers
from greenbench.models.masking import span_mask
from greenbench.models.registry import build
from greenbench.models.visible import equal_counts, visible_indices
from greenbench.train.averaging import WeightAverage
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.optimizer import build_optimizer
from greenbench.train.precision import check_attention


def make(card: str = "eco", masking: dict[str, object] | None = None, **encoder: object) -> Upstream:
    torch.manual_seed(0)
    small = {"encoder": {"width": 32, **encoder}, "targets": {"units": 7}, "masking": masking or {}}
    model = build(resolve(card, "tiny", small))
    model.labels = UnitLabels(np.arange(400) % 7, np.array([0, 400]), hop_samples=320)
    return model


def batch_of(model: Upstream, crops: int = 2, seconds: int = 2) -> Batch:
    assert model.feature_spec is not None
    features = torch.randn(crops, 100 * seconds, model.feature_spec.dim, generator=torch.Generator().manual_seed(3))
    return Batch(None, features, 16_000 * seconds, np.zeros(crops, int), np.zeros(crops, int))


def loss_of(model: Upstream) -> torch.Tensor:
    return model.loss(batch_of(model), step_info(seed=1))[0]


# -- the average of the weights --------------------------------------------------------------------------------------


def test_the_average_is_the_textbooks_recursion_and_takes_the_weights_place() -> None:
    weights = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(5))]
    average = WeightAverage(weights, 0.9)
    expected = [p.detach().clone().double() for p in weights]
    generator = torch.Generator().manual_seed(0)
    for step in range(150):
        with torch.no_grad():
            for p in weights:
                p.copy_(torch.randn(p.shape, generator=generator))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p.detach().double() for e, p in zip(expected, weights, strict=True)]
        average.update(step)
    average.adopt()
    for p, wanted in zip(weights, expected, strict=True):
        torch.testing.assert_close(p.detach().double(), wanted, rtol=1e-4, atol=1e-5)


def test_an_average_continues_from_its_checkpoint() -> None:
    def trained(*, restart_at: int | None) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.zeros(4))
        average = WeightAverage([weight], 0.95)
        for step in range(20):
            if step == restart_at:
                saved = {k: v.clone() for k, v in average.state_tensors().items()}
                average = WeightAverage([weight], 0.95)
                average.load_state_tensors(saved)
            with torch.no_grad():
                weight.add_(torch.arange(4.0) + step)
            average.update(step)
        average.adopt()
        return weight.detach()

    assert torch.equal(trained(restart_at=None), trained(restart_at=7))


# -- layer drop ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", ["eco", "melhubert", "hubert", "best-rq"])
def test_layers_are_skipped_in_training_and_never_in_evaluation(card: str) -> None:
    torch.manual_seed(0)
    model = build(
        resolve(card, "tiny", {"encoder": {"dropout": 0.0, "layers": 6}} if card in ("hubert", "best-rq") else None)
    )
    plain = copy.deepcopy(model).eval()
    drop_layers(model, 0.3)  # of six layers hardly ever all
    spec = model.feature_spec
    shape = (1, 16_000) if spec is None else (1, 100, spec.dim)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    waveform, features = (values, None) if spec is None else (None, values)
    batch = Batch(waveform, features, 16_000, np.zeros(1, int), np.zeros(1, int))
    with torch.no_grad():
        for found, wanted in zip(model.eval().hidden_states(batch), plain.hidden_states(batch), strict=True):
            assert torch.equal(found, wanted)
        model.train()
        # Layers that were skipped made no output of their own: the last ones differ from draw to draw.
        last = [model.hidden_states(batch)[-1] for _ in range(6)]
    assert any(last[0].shape == other.shape and not torch.equal(last[0], other) for other in last[1:])


def test_a_skipped_layer_passes_its_input_on_at_the_rate_asked_for() -> None:
    model = make()
    drop_layers(model, 0.3)
    layer = model.trunk_layers()[0]
    frames = torch.randn(1, 9, 32)
    torch.manual_seed(0)
    skipped = sum(bool(torch.equal(layer(frames), frames)) for _ in range(2000))
    assert 0.26 < skipped / 2000 < 0.34


def test_a_copy_skips_its_own_layers_and_keeps_names_and_types() -> None:
    model = make()
    names, kinds = list(model.state_dict()), [type(layer).__mro__ for layer in model.trunk_layers()]
    drop_layers(model, 0.5)
    twin = copy.deepcopy(model)
    assert list(twin.state_dict()) == names
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    loss_of(twin.train())
    for layer, kind in zip(twin.trunk_layers(), kinds, strict=True):
        assert isinstance(layer, kind[0])


def test_layer_drop_is_counted_in_expectation() -> None:
    spec = resolve("eco", "tiny")
    plain = count(spec, seconds=2, fvcore=False)
    dropped = count(spec, seconds=2, fvcore=False, layer_drop=0.4)
    trunk = sum(
        flops
        for name, flops in plain.by_module.items()
        if name.startswith(("trunk.", "head.")) and name.count(".") == 1
    )
    assert plain.flops_train_per_audio_s is not None
    assert dropped.flops_train_per_audio_s == pytest.approx(plain.flops_train_per_audio_s - 3 * 0.4 * trunk, rel=0.01)
    assert dropped.flops_forward_per_audio_s == plain.flops_forward_per_audio_s


def test_layer_drop_of_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\[train\] layer_drop: Upstream names no trunk_layers"):
        drop_layers(Upstream(), 0.1)


# -- masked frames ---------------------------------------------------------------------------------------------------


def test_the_encoder_sees_visible_frames_only_and_gradients_reach_every_weight() -> None:
    model = make("melhubert", heads=4, masking={"drop_masked": True})
    seen: list[int] = []
    for layer in model.trunk_layers():
        layer.register_forward_hook(lambda _module, args, _out: seen.append(args[0].shape[1]))
    model.train()
    loss_of(model).backward()
    assert len(set(seen)) == 1
    # 70 % of 100 frames in overlapping spans of 5 are about half of them; the fullest row decides.
    assert 30 <= seen[0] <= 60
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.pretraining_parameters())


def test_without_masked_frames_the_encoder_costs_less_and_the_representation_as_much() -> None:
    options = ({"masking": {"drop_masked": drop}} for drop in (False, True))
    whole, visible = (count(resolve("melhubert", "tiny", o), seconds=4, fvcore=False) for o in options)
    assert whole.flops_train_per_audio_s is not None
    assert visible.flops_train_per_audio_s is not None
    assert visible.flops_train_per_audio_s < 0.85 * whole.flops_train_per_audio_s
    assert visible.flops_forward_per_audio_s == whole.flops_forward_per_audio_s


def test_rows_hide_equally_many_frames_and_what_was_hidden_stays_so() -> None:
    draws = Draws(0)
    mask = span_mask(6, 80, prob=0.6, span=5, draws=draws)
    equal = equal_counts(mask, draws)
    assert len(set(mask.sum(1).tolist())) > 1
    assert equal.sum(1).tolist() == [int(mask.sum(1).max())] * 6
    assert bool((equal | ~mask).all())
    index = visible_indices(equal)
    for row, places in zip(equal, index, strict=True):
        assert places.tolist() == [t for t in range(80) if not row[t]]
    assert int((~equal_counts(torch.ones(2, 5, dtype=torch.bool), draws)).sum()) == 2


# -- features on the fly ---------------------------------------------------------------------------------------------


class Store:
    """Noise with a formant that moves, held in memory."""

    def __init__(self, lengths: list[int]) -> None:
        random = np.random.default_rng(0)
        self.num_samples = np.array(lengths)
        self.utterances = ()
        self._samples = []
        for length in lengths:
            wave = np.sin(np.cumsum(np.linspace(0.1, random.uniform(0.5, 2.0), length)))
            wave += 0.3 * random.standard_normal(length)
            self._samples.append((3000 * wave).astype(np.int16))

    def samples(self, index: int) -> np.ndarray:
        return self._samples[index]


def test_features_on_the_fly_are_the_stored_ones_but_for_the_edges_of_crops() -> None:
    store: Any = Store([40_000, 52_000, 33_000, 48_000, 60_000, 36_000])
    stored = FeatureStore.compute(store, LOGMEL_80)
    fresh = FeaturesOnTheFly.prepare(store, LOGMEL_80)
    np.testing.assert_allclose(fresh.mean, stored.mean, atol=1e-3)
    np.testing.assert_allclose(fresh.std, stored.std, rtol=1e-3)
    assert fresh.computed_s == pytest.approx(store.num_samples.sum() / 16_000)
    np.testing.assert_allclose(fresh.features(2).astype(float), stored.features(2).astype(float), atol=0.02)
    loaders = [BatchLoader(store, f, seed=0, fingerprint="x", batch_seconds=4, crop_seconds=2) for f in (stored, fresh)]
    for _ in range(3):
        first, second = (next(loader) for loader in loaders)
        assert first.features is not None
        assert second.features is not None
        assert second.waveform is None
        assert np.array_equal(first.starts, second.starts)
        inner = slice(2, -2)
        torch.testing.assert_close(second.features[:, inner], first.features[:, inner], rtol=0, atol=0.02)


# -- optimizer, attention --------------------------------------------------------------------------------------------


def test_fused_and_plain_optimizers_take_the_same_step() -> None:
    moved = []
    for fused in (True, False):
        model = make()
        optimizer = build_optimizer(model, Recipe(learning_rate=0.01), fused=fused)
        assert all(bool(g["fused"]) is fused for o in optimizer.optimizers for g in o.param_groups)
        for _ in range(3):
            loss_of(model).backward()
            optimizer.step(1.0, grad_clip=1.0)
        moved.append([p.detach() for p in model.parameters()])
    for a, b in zip(*moved, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_an_attention_kernel_that_the_device_lacks_is_named_with_what_to_use() -> None:
    cpu = torch.device("cpu")
    check_attention("auto", cpu, "float32")
    check_attention("math", cpu, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeviceError, match=r"sdpa = 'efficient': no such attention kernel for float32 on cpu"):
            check_attention("efficient", cpu, "float32")


def test_flops_of_a_step_follow_the_layer_drop_of_the_built_model() -> None:
    plain, dropped = make(), make()
    drop_layers(dropped, 0.5)
    assert BatchFlops(dropped)(2, 32_000) < 0.8 * BatchFlops(plain)(2, 32_000)


def test_the_average_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    average = WeightAverage([torch.nn.Parameter(torch.arange(4.0))], 0.9)
    checkpoints = CheckpointStore(tmp_path)
    checkpoints.save({"average": average.state_tensors()}, {"step": 1})
    groups, _ = checkpoints.latest() or ({}, {})
    other = WeightAverage([torch.nn.Parameter(torch.zeros(4))], 0.9)
    other.load_state_tensors(groups["average"])
    assert torch.equal(other.average[0], torch.arange(4.0))
