"""Units of what is said rather than of who says it: clustered context of normalised, coarse log-mel frames.

Three cheap steps take the voice and the room out before k-means: each band is normalised over the utterance, groups
of bands lose the harmonics, and each utterance is warped along the frequency axis to the vocal tract length under
which it is nearest to the units (maximum-likelihood normalisation as in Lee and Rose 1996, with k-means for the model).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from greenbench.data.features import FeatureSpec
from greenbench.data.mel import band_centres, mel_frequencies
from greenbench.models.kmeans import Units, fit_units

_FLOOR = 0.1
"""Added to a band's deviation: digital silence must not be blown up."""
_CHOOSING_STRIDE = 4
"""A warp is one number for hundreds of frames: every fourth one decides as well."""


@dataclass(frozen=True)
class ContextSpec:
    """What is clustered: ``pool`` bands averaged, ``reach`` frames of 10 ms to each side, ``dims`` principal axes.

    ``warps`` factors between 1 / ``widest`` and ``widest`` are tried per utterance; 1 leaves the frequency axis alone.
    """

    pool: int = 4
    reach: int = 3
    dims: int = 24
    warps: int = 9
    widest: float = 1.35
    rounds: int = 2

    @property
    def factors(self) -> np.ndarray:
        """Return the warp factors, symmetric about 1."""
        return np.exp(np.linspace(-1.0, 1.0, self.warps) * np.log(self.widest)) if self.warps > 1 else np.ones(1)


@dataclass
class ContextUnits:
    """Fitted units with the projection in front of them; ``flops`` counts what finding and using them took."""

    spec: ContextSpec
    pools: list[np.ndarray]
    basis: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    units: Units | None = None
    flops: float = 0.0

    def label(self, features: np.ndarray) -> np.ndarray:
        """Return the units of one utterance at half its frame rate, (T, F) -> (T // 2,) int64."""
        if self.units is None:
            raise ValueError("the units are not fitted")
        points = self._project(features, self._choose(features))
        self.flops += self.units.assign_flops(len(points))
        return self.units.assign(points).numpy()

    def _choose(self, features: np.ndarray) -> int:
        """Return the warp under which the utterance is nearest to the units, relative to its own energy."""
        if len(self.pools) == 1:
            return 0
        assert self.units is not None
        centroids = torch.from_numpy(self.units.centroids)
        half_norms = centroids.square().sum(dim=1) / 2
        relative = []
        for warp in range(len(self.pools)):
            points = self._project(features, warp)[::_CHOOSING_STRIDE]
            energy = points.square().sum(dim=1) / 2
            nearest = (points @ centroids.T - half_norms).amax(dim=1)
            relative.append(float((energy - nearest).sum() / energy.sum().clamp(min=1e-9)))
            self.flops += self.units.assign_flops(len(points))
        return int(np.argmin(relative))

    def context(self, features: np.ndarray, warp: int) -> np.ndarray:
        """Return warped coarse bands with their neighbours, (T, F) -> (T // 2, (2 reach + 1) F / pool)."""
        frames = np.asarray(features, dtype=np.float32) @ self.pools[warp]
        self.flops += 2.0 * len(frames) * self.pools[warp].size
        frames = (frames - frames.mean(axis=0)) / (frames.std(axis=0) + _FLOOR)
        reach, length = self.spec.reach, len(frames)
        padded = np.pad(frames, ((reach, reach), (0, 0)), mode="edge")
        windows = [padded[shift : shift + length : 2] for shift in range(2 * reach + 1)]
        return np.concatenate([w[: length // 2] for w in windows], axis=1)

    def _project(self, features: np.ndarray, warp: int) -> Tensor:
        points = self.context(features, warp)
        self.flops += 2.0 * len(points) * self.basis.size
        return torch.from_numpy(points) @ torch.from_numpy(self.basis)

    def fit(self, features_of: Callable[[int], np.ndarray], chosen: np.ndarray, *, k: int, seed: int) -> None:
        """Fit to some utterances, in turn the units given the warps and the warps given the units."""
        warps = np.full(len(chosen), len(self.pools) // 2)
        for turn in range(self.spec.rounds if len(self.pools) > 1 else 1):
            if turn:
                warps = np.array([self._choose(features_of(int(i))) for i in chosen])
            frames = np.concatenate([self.context(features_of(int(i)), w) for i, w in zip(chosen, warps, strict=True)])
            self.basis, flops = half_whitened_basis(frames[::4], self.spec.dims)
            points = frames @ self.basis
            self.units = fit_units(points, k, seed=seed)
            self.flops += flops + self.units.fit_flops + 2.0 * len(frames) * self.basis.size


def context_units(spec: ContextSpec, features: FeatureSpec) -> ContextUnits:
    """Return units yet to be fitted, with the matrices that warp and pool the bands of ``features``."""
    pool = np.kron(np.eye(features.n_mels // spec.pool), np.full((spec.pool, 1), 1.0 / spec.pool))
    return ContextUnits(spec, [(warp_matrix(features, f) @ pool).astype(np.float32) for f in spec.factors])


def warp_matrix(features: FeatureSpec, factor: float) -> np.ndarray:
    """Return (F, F) that reads each band at ``factor`` times its centre frequency, interpolated between bands."""
    bands = features.n_mels
    centres = band_centres(features)
    axis = mel_frequencies(centres, features.mel_scale)
    wanted = mel_frequencies(np.minimum(centres * factor, features.f_max), features.mel_scale)
    position = np.interp(wanted, axis, np.arange(bands))
    low = np.minimum(position.astype(int), bands - 2)
    share = position - low
    matrix = np.zeros((bands, bands))
    matrix[low, np.arange(bands)] = 1 - share
    matrix[low + 1, np.arange(bands)] += share
    return matrix


def half_whitened_basis(sample: np.ndarray, dims: int) -> tuple[np.ndarray, float]:
    """Return a projection (D, dims) onto principal axes scaled by their deviation to the power -1/2, and its FLOPs.

    Full whitening would blow up noise, none lets energy dominate; half was best in unit purity on held-out speech.
    """
    count, width = sample.shape
    centred = sample - sample.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / count)
    top = np.argsort(variances)[::-1][: min(dims, width)]
    basis = axes[:, top] / np.maximum(variances[top], 1e-8) ** 0.25
    return basis.astype(np.float32), 2.0 * count * width**2 + 9.0 * width**3
