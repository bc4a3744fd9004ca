"""Units freed of the voice: a longer vocal tract is recognised, and taken back before clustering."""

from __future__ import annotations

import numpy as np
import pytest

from greenbench.data.features import LOGMEL_80
from greenbench.data.mel import band_centres
from greenbench.models.context_units import ContextSpec, context_units, warp_matrix

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


def purity(spec: ContextSpec) -> tuple[float, list[int]]:
    scales = np.exp(np.linspace(-0.2, 0.2, 12))
    orders = [order_of(i) for i in range(len(scales))]
    voices = [voice(s, o, seed=i) for i, (s, o) in enumerate(zip(scales, orders, strict=True))]
    units = context_units(spec, LOGMEL_80)
    units.fit(lambda i: voices[i], np.arange(len(voices)), k=12, seed=0)
    labels = np.concatenate([units.label(v) for v in voices])
    truth = np.concatenate([np.repeat(o, 6) for o in orders])
    table = np.zeros((12, len(PHONES)))
    np.add.at(table, (labels, truth[: len(labels)]), 1)
    return table.max(axis=1).sum() / table.sum(), [units._choose(v) for v in voices]


def test_units_of_warped_utterances_are_purer_and_longer_tracts_get_smaller_factors() -> None:
    plain, _ = purity(ContextSpec(warps=1))
    warped, chosen = purity(ContextSpec())
    assert warped > plain
    # Formants at s times the usual frequencies are read back at s times: the factor rises with the scale.
    assert np.corrcoef(np.arange(len(chosen)), chosen)[0, 1] > 0.9
