"""Units freed of the voice: a longer vocal tract is recognised, and taken back before clustering."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from greenbench.features.mel import band_centres
from greenbench.features.spec import LOGMEL_80
from greenbench.models.context_units import ContextSpec, ContextUnits, warp_matrix

PHONES = [(300, 2300), (700, 1200), (500, 900), (350, 800), (600, 1700)]
"""Two formants each, in Hz."""


def voice(scale: float, order: np.ndarray, *, seed: int) -> np.ndarray:
    """Return log-mel-like frames (T, 80) of phones spoken by a vocal tract whose formants lie at ``scale`` times."""
    random = np.random.default_rng(seed)
    centres = band_centres(LOGMEL_80)
    frames = []
    for phone in order:
        peaks = sum(np.exp(-0.5 * (np.log(centres / (f * scale)) / 0.12) ** 2) for f in PHONES[phone])
        frames += [4 * peaks + 0.05 * random.standard_normal(80) for _ in range(12)]
    return np.stack(frames).astype(np.float32)


def order_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.tile(np.arange(len(PHONES)), 3))


def test_a_factor_of_one_changes_nothing() -> None:
    assert np.allclose(warp_matrix(LOGMEL_80, 1.0), np.eye(80), atol=1e-9)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_a_warp_interpolates_and_never_amplifies(factor: float) -> None:
    matrix = warp_matrix(LOGMEL_80, factor)
    assert np.allclose(matrix.sum(axis=0), 1.0)
    assert matrix.min() >= 0


def test_a_warp_reads_each_band_at_the_scaled_frequency() -> None:
    centres = band_centres(LOGMEL_80)
    warped = np.log(centres) @ warp_matrix(LOGMEL_80, 1.2)
    inside = centres * 1.2 < centres[-1]
    assert np.allclose(warped[inside][5:], np.log(centres * 1.2)[inside][5:], atol=0.01)


def units_of(units: ContextUnits, features: np.ndarray) -> np.ndarray:
    return units.assign(units.normalise_tract(torch.from_numpy(features)[None]))[0].numpy()


def purity(spec: ContextSpec) -> tuple[float, list[float]]:
    scales = np.exp(np.linspace(-0.2, 0.2, 12))
    orders = [order_of(i) for i in range(len(scales))]
    voices = [voice(s, o, seed=i) for i, (s, o) in enumerate(zip(scales, orders, strict=True))]
    units = ContextUnits(spec, LOGMEL_80, 12)
    units.fit(lambda i: voices[i], np.arange(len(voices)), seed=0)
    labels = np.concatenate([units_of(units, v) for v in voices])
    truth = np.concatenate([np.repeat(o, 6) for o in orders])
    table = np.zeros((12, len(PHONES)))
    np.add.at(table, (labels, truth[: len(labels)]), 1)
    chosen = [float(spec.factors[int(units.choose(torch.from_numpy(v)[None]))]) for v in voices]
    return table.max(axis=1).sum() / table.sum(), chosen


def test_units_of_warped_utterances_are_purer_and_longer_tracts_get_smaller_factors() -> None:
    plain, _ = purity(ContextSpec(warps=1))
    warped, chosen = purity(ContextSpec())
    assert warped > plain
    # Formants at s times the usual frequencies are read back at s times: the factor rises with the scale.
    assert np.corrcoef(np.arange(len(chosen)), chosen)[0, 1] > 0.9


def reference_points(units: ContextUnits, warped: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return projected context at every ``stride``-th frame and its squared distances to all units, in float64."""
    bands = warped.reshape(len(warped), -1, units.spec.pool).mean(axis=2)
    bands = (bands - bands.mean(axis=0)) / (bands.std(axis=0) + 0.1)
    padded = np.pad(bands, ((units.spec.reach,) * 2, (0, 0)), mode="edge")
    windows = [padded[t : t + 2 * units.spec.reach + 1].ravel() for t in range(0, len(bands), stride)]
    points = np.stack(windows) @ units.basis.double().numpy()
    return points, ((points[:, None] - units.centroids.double().numpy()[None]) ** 2).sum(axis=2)


def reference_choice(units: ContextUnits, features: np.ndarray) -> int:
    """Choose as the definition says, one warp after the other."""
    costs = []
    for warp in units.warps.double().numpy():
        points, distances = reference_points(units, features.astype(np.float64) @ warp, 8)
        costs.append(distances.min(axis=1).sum() / (points**2).sum())
    return int(np.argmin(costs))


def fitted() -> tuple[ContextUnits, list[np.ndarray]]:
    voices = [voice(float(s), order_of(i), seed=i) for i, s in enumerate(np.exp(np.linspace(-0.2, 0.2, 10)))]
    units = ContextUnits(ContextSpec(), LOGMEL_80, 12)
    units.fit(lambda i: voices[i], np.arange(len(voices)), seed=0)
    return units, voices


def test_the_choice_is_the_definitions_for_each_of_a_batch() -> None:
    units, voices = fitted()
    batch = torch.from_numpy(np.stack(voices))
    assert units.choose(batch).tolist() == [reference_choice(units, v) for v in voices]


def test_the_units_of_a_crop_are_the_nearest_under_its_own_warp() -> None:
    units, voices = fitted()
    found = units.assign(units.normalise_tract(torch.from_numpy(np.stack(voices))))
    for row, features in zip(found, voices, strict=True):
        warp = units.warps.double().numpy()[reference_choice(units, features)]
        _, distances = reference_points(units, features.astype(np.float64) @ warp, 2)
        assert (row.numpy() == distances.argmin(axis=1)).mean() > 0.99  # float32 may settle a tie the other way


def test_a_normalised_tract_brings_voices_together() -> None:
    units, _ = fitted()
    low, high = (torch.from_numpy(voice(s, order_of(3), seed=9)) for s in (0.85, 1.18))
    apart = (low - high).square().mean()
    warped = units.normalise_tract(torch.stack([low, high]))
    assert (warped[0] - warped[1]).square().mean() < 0.5 * apart


def test_units_not_yet_fitted_leave_the_tract_alone() -> None:
    features = torch.randn(2, 50, 80, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ContextUnits(ContextSpec(), LOGMEL_80, 12).normalise_tract(features), features, atol=1e-5)


def test_fitted_units_survive_their_state() -> None:
    units, voices = fitted()
    other = ContextUnits(ContextSpec(), LOGMEL_80, 12)
    other.load_state(units.state())
    assert all((units_of(units, v) == units_of(other, v)).all() for v in voices)


def test_fewer_frames_than_units_still_give_units() -> None:
    units = ContextUnits(ContextSpec(), LOGMEL_80, 500)
    units.fit(lambda _: voice(1.0, order_of(0), seed=0), np.arange(1), seed=0)
    assert len(set(units_of(units, voice(1.0, order_of(0), seed=0)).tolist())) > 10
