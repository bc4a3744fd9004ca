"""The ladder from MelHuBERT to eco: every step trains, and differs from the one below in one group of keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from greenbench.cards import ModelSpec, Recipe, load_card, resolve
from greenbench.config import load_suite
from greenbench.cost.model_cost import count
from greenbench.cost.subject import NoiseData, give_targets, make_batch, step_info
from greenbench.models.kmeans import UnitLabels, cluster
from greenbench.models.options import defaults
from greenbench.models.registry import build, locate
from greenbench.schema import overlay

SUITE = load_suite("ladder")
SPECS = [resolve(e, SUITE.suite.size, SUITE.models.get(e.partition("=")[0])) for e in SUITE.suite.models]
LABELS = [spec.label for spec in SPECS]
RECIPE = set(asdict(Recipe()))
GROUPS = {
    "tuned": RECIPE,
    "recipe": RECIPE,
    "targets": {"targets.kind", "targets.units"},
    "all-frames": {"masking.unmasked_weight"},
    "light-mask": {"masking.probability", "masking.span"},
    "warp": {"inputs.warp"},
    "25hz": {"encoder.trunk_hz"},
    "fine-path": {"encoder.fine_path"},
    "convolution": {"encoder.pattern"},
    "wide": {"encoder.width", "encoder.pattern"},
    "tracts": {"targets.context.warps"},
    "utterance": {"inputs.normalise_utterance"},
    "eco": {"inputs.normalise_tract"},
}


def keys_of(spec: ModelSpec) -> dict[str, object]:
    """Return everything that decides what is trained; an option that is not given has the class's default."""
    options = overlay(defaults(locate(spec.code)), spec.architecture)
    return {"code": spec.code, **dict(paths(options)), **asdict(spec.recipe)}


def paths(table: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize(("below", "step"), list(pairwise(SPECS)), ids=LABELS[1:])
def test_a_step_differs_from_the_one_below_in_one_group_of_keys(below: ModelSpec, step: ModelSpec) -> None:
    first, second = keys_of(below), keys_of(step)
    if step.label == "rebuilt":
        assert first["code"] != second["code"]
        assert asdict(below.recipe) == asdict(step.recipe)
        return
    assert set(first) == set(second)
    changed = {key for key in first if first[key] != second[key]}
    assert changed
    assert changed <= GROUPS[step.label]


def test_the_ladder_begins_as_published_and_ends_with_the_cards() -> None:
    published, tuned, rebuilt = SPECS[:3]
    assert published.recipe == resolve("melhubert", "base").recipe
    assert tuned.recipe == load_card("melhubert").recipe
    assert (tuned.architecture, tuned.recipe) == (published.architecture, resolve("melhubert", "tiny").recipe)
    assert asdict(SPECS[-1]) == asdict(resolve("eco", "tiny"))
    old, new = keys_of(tuned), keys_of(rebuilt)
    for same in ("targets.units", "masking.probability", "masking.span", "encoder.width", "encoder.heads"):
        assert old[same] == new[same]
    assert len(str(new["encoder.pattern"])) == old["encoder.layers"]
    assert float(str(new["encoder.expansion"])) * int(str(new["encoder.width"])) == old["encoder.feed_forward"]
    assert build(rebuilt).frame_hz == build(tuned).frame_hz
    assert len(SUITE.suite.seeds) == 5


@pytest.mark.parametrize("spec", SPECS, ids=LABELS)
def test_every_step_trains_all_its_parameters(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    model = build(spec).train()
    give_targets(model)
    loss, _ = model.loss(make_batch(model, 2, 16_000, "cpu"), step_info())
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def spec_of(label: str) -> ModelSpec:
    return SPECS[LABELS.index(label)]


@pytest.mark.parametrize("label", ["rebuilt", "25hz", "fine-path", "eco"])
def test_the_shape_of_a_step_is_counted_by_its_formula(label: str) -> None:
    model = build(spec_of(label))
    for seconds in (1.0, 2.02):
        found = count(model, seconds=seconds, fvcore=False)
        assert found.analytic_flops_forward_per_audio_s == pytest.approx(found.flops_forward_per_audio_s, rel=1e-6)


def test_a_masked_only_loss_does_not_see_what_is_visible() -> None:
    model = build(spec_of("rebuilt")).eval()
    batch = make_batch(model, 2, 32_000, "cpu")
    mask = model.masking.draw(2, 100, step_info().draws)
    visible_in_both = ~mask.any(0).numpy()

    def loss_with(unit: int) -> float:
        model.labels = UnitLabels(np.where(visible_in_both, unit, 0), np.array([0, 100]), 320)
        return model.loss(batch, step_info())[0].item()

    assert visible_in_both.any()
    assert loss_with(0) == loss_with(1)
    model.masking = replace(model.masking, unmasked_weight=1.0)
    assert loss_with(0) != loss_with(1)


def test_units_of_plain_frames_are_melhuberts_on_the_same_features() -> None:
    """Two code paths, one clustering: pairs of frames without normalisation, projection or context."""
    model = build(spec_of("rebuilt"))
    data = NoiseData(model, 10.0)
    model.make_targets(data, seed=0, device=torch.device("cpu"), progress=lambda *_: None)
    frames = data.features(0).astype(np.float32)
    pairs = np.concatenate([frames[0::2][: len(frames) // 2], frames[1::2]], axis=1)
    expected, _ = cluster(
        lambda _: pairs, data.num_samples, k=128, hop_samples=320, seed=0, fit_seconds=900.0, progress=lambda *_: None
    )
    assert model.labels is not None
    assert np.array_equal(model.labels.labels, expected.labels)
