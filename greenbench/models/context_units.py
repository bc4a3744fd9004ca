"""Units of what is said rather than of who says it: clustered context of normalised, coarse log-mel frames.

Three cheap steps take the voice and the room out before k-means: each band is normalised over the utterance, groups
of bands lose the harmonics, and each utterance is warped along the frequency axis to the vocal tract length under
which it is nearest to the units (maximum-likelihood normalisation as in Lee and Rose 1996, with k-means for the model).
An encoder may read its input through the same warp: choosing it costs less than one of its layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from greenbench.features.mel import band_centres, mel_frequencies
from greenbench.features.spec import FeatureSpec
from greenbench.models.kmeans import Units, fit_units
from greenbench.models.waveform import full_precision

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
        """The warp factors, symmetric about 1, the mildest first: before units are known none is preferred."""
        if self.warps == 1:
            return np.ones(1)
        exponents = np.linspace(-1.0, 1.0, self.warps)
        return np.exp(exponents[np.argsort(np.abs(exponents), kind="stable")] * np.log(self.widest))


class ContextUnits(nn.Module):
    """``k`` units with the projection and the warps in front of them; ``flops`` counts finding and using them.

    What was fitted lies in buffers, so that checkpoints and copies carry it.
    """

    warps: Tensor
    pool: Tensor
    basis: Tensor
    centroids: Tensor

    def __init__(self, spec: ContextSpec, features: FeatureSpec, k: int) -> None:
        super().__init__()
        self.spec = spec
        self.flops = 0.0
        bands = features.n_mels // spec.pool
        warps = np.stack([warp_matrix(features, factor) for factor in spec.factors])
        pool = np.kron(np.eye(bands), np.full((spec.pool, 1), 1.0 / spec.pool))
        self.register_buffer("warps", torch.from_numpy(warps).float(), persistent=False)
        self.register_buffer("pool", torch.from_numpy(pool).float(), persistent=False)
        self.register_buffer("basis", torch.zeros((2 * spec.reach + 1) * bands, spec.dims))
        self.register_buffer("centroids", torch.zeros(k, spec.dims))

    # -- use --------------------------------------------------------------------------------------------------------

    def normalise_tract(self, features: Tensor) -> Tensor:
        """Each utterance or crop of (B, T, F) warped to the vocal tract length that fits the units best."""
        if len(self.warps) == 1:
            return features
        with torch.no_grad(), full_precision(features):
            warps = self.warps[self.choose(features.float())]
            return torch.bmm(features.float(), warps).to(features.dtype)

    def choose(self, features: Tensor) -> Tensor:
        """The number of the warp under which each of (B, T, F) is nearest to the units, (B,) int64.

        Distances are relative to the utterance's own energy, so that a warp which flattens it does not win.
        """
        batch, length, bands = features.shape
        coarse = features @ (self.warps @ self.pool).permute(1, 0, 2).reshape(bands, -1)
        coarse = coarse.view(batch, length, len(self.warps), -1).transpose(1, 2).flatten(0, 1)
        points = self._windows(coarse, 2 * _CHOOSING_STRIDE) @ self.basis
        energy = points.square().sum(dim=(1, 2)) / 2
        nearest = (points @ self.centroids.T - self.centroids.square().sum(dim=1) / 2).amax(dim=2).sum(dim=1)
        relative = (energy - nearest) / energy.clamp(min=1e-9)
        return relative.view(batch, -1).argmin(dim=1)

    def assign(self, features: Tensor) -> Tensor:
        """The units at half the frame rate, (B, T, F) -> (B, T // 2) int64.

        ``features`` are utterances or crops as :meth:`normalise_tract` returns them.
        """
        with torch.no_grad(), full_precision(features):
            points = self._context(features.float()) @ self.basis
            return (points @ self.centroids.T - self.centroids.square().sum(dim=1) / 2).argmax(dim=2)

    def choosing_macs(self, frames: int) -> float:
        """The multiply-accumulates of warping one utterance of so many 10 ms frames, the choice included."""
        count, bands, _ = self.warps.shape
        if count == 1:
            return 0.0
        prepared = count * bands * self.pool.numel()
        points = count * -(-frames // (2 * _CHOOSING_STRIDE))
        each = self.basis.numel() + self.centroids.numel()
        return float(prepared + frames * count * self.pool.numel() + points * each + frames * bands**2)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _frames(self, features: np.ndarray) -> Tensor:
        """One utterance as a batch, (T, F) -> (1, T, F)."""
        return torch.from_numpy(np.asarray(features, dtype=np.float32))[None].to(self.centroids.device)

    def _windows(self, coarse: Tensor, stride: int) -> Tensor:
        """Normalised bands with their neighbours, (B, T, P) -> (B, ceil(T / stride), (2 reach + 1) P)."""
        spread, mean = torch.std_mean(coarse, dim=1, correction=0, keepdim=True)
        frames = (coarse - mean) / (spread + _FLOOR)
        reach = self.spec.reach
        padded = nn.functional.pad(frames.transpose(1, 2), (reach, reach), mode="replicate")
        return padded.unfold(2, 2 * reach + 1, stride).permute(0, 2, 3, 1).flatten(2)

    def _context(self, features: Tensor) -> Tensor:
        """Context under the warp that was applied, (B, T, F) -> (B, T // 2, C)."""
        return self._windows(features @ self.pool, 2)[:, : features.shape[1] // 2]

    # -- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, features_of: Callable[[int], np.ndarray], chosen: np.ndarray, *, seed: int) -> None:
        """Fit to some utterances, in turn the units given the warps and the warps given the units.

        The first turn only has to tell vocal tracts apart: fewer units, found on every fourth point, do that as well.
        """
        utterances = [self._frames(features_of(int(i))) for i in chosen]
        turns = self.spec.rounds if len(self.warps) > 1 else 1
        for turn in range(turns):
            last = turn == turns - 1
            read = [self.normalise_tract(frames) for frames in utterances] if turn else utterances
            context = torch.cat([self._context(frames)[0] for frames in read]).cpu().numpy()
            basis, flops = half_whitened_basis(context[::4], self.spec.dims)
            k = len(self.centroids)
            sample = context if last else context[::4]
            units = fit_units(sample @ basis, k if last else max(2, k // 4), seed=seed)
            self._keep(basis, units)
            frames = sum(f.shape[1] for f in utterances)
            self.flops += flops + units.fit_flops + 2.0 * (len(sample) * basis.size + frames * self.pool.numel())
            self.flops += 2.0 * sum(self.choosing_macs(f.shape[1]) for f in utterances) if turn else 0.0

    def _keep(self, basis: np.ndarray, units: Units) -> None:
        # Fewer frames than units: the first centroid again, which never wins over itself.
        missing = len(self.centroids) - len(units.centroids)
        centroids = np.concatenate([units.centroids, np.repeat(units.centroids[:1], missing, axis=0)])
        self.basis[:, : basis.shape[1]] = torch.from_numpy(basis)
        self.centroids[:, : centroids.shape[1]] = torch.from_numpy(centroids)

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, for :meth:`load_state`."""
        return {"basis": self.basis.cpu().numpy(), "centroids": self.centroids.cpu().numpy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`state` returned."""
        self.basis.copy_(torch.from_numpy(state["basis"]))
        self.centroids.copy_(torch.from_numpy(state["centroids"]))


def warp_matrix(features: FeatureSpec, factor: float) -> np.ndarray:
    """(F, F) that reads each band at ``factor`` times its centre frequency, interpolated between bands."""
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
    """A projection (D, dims) onto principal axes scaled by their deviation to the power -1/2, and its FLOPs.

    Full whitening would blow up noise, none lets energy dominate; half was best in unit purity on held-out speech.
    """
    count, width = sample.shape
    centred = sample - sample.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / count)
    top = np.argsort(variances)[::-1][: min(dims, width)]
    basis = axes[:, top] / np.maximum(variances[top], 1e-8) ** 0.25
    return basis.astype(np.float32), 2.0 * count * width**2 + 9.0 * width**3
