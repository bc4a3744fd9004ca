"""eco: the efficient model of this suite.

A log-mel front end at 100 Hz, a stem at 50 Hz, a deep and thin trunk of convolution and attention blocks at 25 Hz,
and an upsampling head back at 50 Hz with a skip from the stem, so that a coarse trunk still gives fine frames.
It predicts k-means units of speaker-normalised log-mel context from distorted and partly masked input, which it reads
through the same normalisation of the speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.features.spec import LOGMEL_80
from greenbench.models.augment_mel import normalise_bands, warp_bands
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.context_units import ContextSpec, ContextUnits
from greenbench.models.kmeans import cluster, sample_utterances
from greenbench.models.layers import ConvBlock, block_macs, build_trunk
from greenbench.models.masking import masked_cross_entropy, span_mask
from greenbench.models.relabel import Relabelling
from greenbench.models.unit_model import HOP_SAMPLES, UnitModel
from greenbench.progress import Progress

STEM_HZ = 50


class Eco(UnitModel):
    """Prediction of context units from distorted, partly masked log-mel frames.

    ``targets``: ``context`` units, or units of plain log-mel ``frames`` (pairs of 10 ms frames, as MelHuBERT's).
    ``fine_path``: the stem block, its skip and the head at 50 Hz; without them the trunk alone makes the frames.
    ``normalise_tract``: the input is read through the warp that fits the units best, as the targets are.
    ``normalise_utterance``: each band of the input gets mean 0 and deviation 1 over the utterance.
    """

    frame_hz = float(STEM_HZ)
    feature_spec = LOGMEL_80

    def __init__(
        self,
        *,
        width: int = 256,
        pattern: str = "caca",
        head_pattern: str = "c",
        heads: int = 4,
        kernel: int = 7,
        expansion: float = 4.0,
        trunk_hz: int = 25,
        fine_path: bool = True,
        units: int = 400,
        targets: Literal["context", "frames"] = "context",
        target_context: int = 3,
        target_dims: int = 24,
        target_warps: int = 9,
        target_seconds: float = 900.0,
        mask_prob: float = 0.15,
        mask_span: int = 5,
        unmasked_weight: float = 1.0,
        warp: float = 0.12,
        normalise_tract: bool = True,
        normalise_utterance: bool = True,
        relabel_at: Sequence[float] = (),
        relabel_layer: int = 0,
        relabel_seconds: float = 900.0,
    ) -> None:
        super().__init__()
        if STEM_HZ % trunk_hz:
            raise ValueError(f"trunk_hz = {trunk_hz} must divide {STEM_HZ}")
        if targets not in ("context", "frames"):
            raise ValueError(f"targets = {targets!r} must be 'context' or 'frames'")
        self.rate = STEM_HZ // trunk_hz
        self.fine_path, self.targets = fine_path, targets
        self.front = nn.Conv1d(LOGMEL_80.n_mels, width, 5, stride=2, padding=2)
        self.front_norm = nn.LayerNorm(width)
        self.stem = ConvBlock(width, kernel=5, expansion=2.0, scale=0.5) if fine_path else nn.Identity()
        self.down = nn.Linear(self.rate * width, width)
        self.trunk = build_trunk(pattern, width, heads=heads, kernel=kernel, expansion=expansion)
        self.up = nn.Linear(width, self.rate * width)
        self.head = nn.ModuleList()
        if fine_path:
            self.head = build_trunk(head_pattern, width, heads=heads, kernel=kernel, expansion=2.0)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, units)
        self.normalise_utterance = normalise_utterance
        spec = ContextSpec(reach=target_context, dims=target_dims, warps=target_warps)
        self.found = ContextUnits(spec, LOGMEL_80, units) if targets == "context" else None
        self.tract = self.found if normalise_tract and target_warps > 1 else None
        self.target_seconds = target_seconds
        self.mask_prob, self.mask_span, self.unmasked_weight, self.warp = mask_prob, mask_span, unmasked_weight, warp
        self.relabelling = Relabelling(
            tuple(relabel_at), units, layer=relabel_layer, seconds=relabel_seconds, restart=False
        )
        self.predict_later = nn.ModuleList(nn.Linear(width, units) for _ in self.relabel_at)
        self.relabelled_layer()

    @property
    def labels_crops(self) -> bool:
        """Return whether units are assigned to crops as they come: part of a training step's cost."""
        return self.found is not None and self.stage == 0

    # -- targets ----------------------------------------------------------------------------------------------------

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - clustering runs on the CPU
        progress: Progress,
    ) -> None:
        """Find the units: of context freed of voice and room (:mod:`greenbench.models.context_units`), or of frames.

        Context units are assigned to crops as they come, so that a short budget does not label audio it never hears.
        """
        k = self.predict.out_features
        if self.found is None:
            self.labels, self.target_flops = cluster(
                lambda index: _frame_pairs(data.features(index)),
                data.num_samples,
                k=k,
                hop_samples=HOP_SAMPLES,
                seed=seed,
                fit_seconds=self.target_seconds,
                progress=progress,
            )
            return
        progress("context units: fitting", 0.0)
        self.found.fit(data.features, sample_utterances(data.num_samples, self.target_seconds, seed=seed), seed=seed)
        self.target_flops = self.found.flops

    def targets_state(self) -> dict[str, np.ndarray]:
        """Return labels and stage, and the fitted units, which the input's normalisation needs too."""
        fitted = self.found.state() if self.found is not None else {}
        return {**super().targets_state(), **{f"found.{name}": values for name, values in fitted.items()}}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore labels, stage and the fitted units."""
        if "labels" in state:
            super().load_targets_state(state)
        if self.found is not None:
            self.found.load_state({name: state[f"found.{name}"] for name in self.found.state()})

    # -- encoder ----------------------------------------------------------------------------------------------------

    def read(self, features: Tensor) -> Tensor:
        """Return an even number of frames, under the vocal tract that fits best where the model reads so, (B, T, F)."""
        features = features[:, : features.shape[1] // 2 * 2]
        return features if self.tract is None else self.tract.normalise_tract(features)

    def prepare(self, features: Tensor) -> Tensor:
        """Return frames as the encoder takes them, (B, T, F)."""
        return normalise_bands(features) if self.normalise_utterance else features

    def units_of(self, batch: Batch, read: Tensor) -> Tensor:
        """Return the unit of each 20 ms frame of a batch, (B, T // 2) int64; ``read`` is what :meth:`read` returned."""
        if self.labels is not None:
            return self.labels.crop(batch.utterances, batch.starts, read.shape[1] // 2).to(read.device)
        if self.found is None:
            raise ValueError("Eco needs targets")
        return self.found.assign(read if self.tract is not None else self.found.normalise_tract(read))

    def encode(self, features: Tensor) -> list[Tensor]:
        """Return all stages at 50 Hz, (B, T, F) -> [(B, T // 2, D), …]; the last is the normalised output."""
        stem = F.gelu(self.front(features.transpose(1, 2)).transpose(1, 2))
        stem = self.stem(self.front_norm(stem))
        batch, length, width = stem.shape
        # A trunk frame covers `rate` stem frames; a short tail is filled with zeros and cut off again.
        padding = -length % self.rate
        coarse = self.down(F.pad(stem, (0, 0, 0, padding)).reshape(batch, -1, self.rate * width))
        states = [stem]
        for block in self.trunk:
            coarse = block(coarse)
            states.append(coarse.repeat_interleave(self.rate, dim=1)[:, :length])
        fine = self.up(coarse).reshape(batch, -1, width)[:, :length]
        if self.fine_path:
            fine = fine + stem
        for block in self.head:
            fine = block(fine)
        return [*states, fine, self.norm(fine)]

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the units of masked frames, plus that of the visible ones with ``unmasked_weight``."""
        if batch.features is None:
            raise ValueError("Eco needs features")
        read = self.read(batch.features)
        distorted = warp_bands(read, self.warp, info.generator) if self.warp else read
        features = self.prepare(distorted)
        frames = features.shape[1] // 2
        mask = span_mask(batch.size, frames, prob=self.mask_prob, span=self.mask_span, generator=info.generator)
        hidden_input = features.masked_fill(mask.repeat_interleave(2, dim=1).unsqueeze(-1).to(features.device), 0.0)
        predict = self.predict_later[self.stage - 1] if self.stage else self.predict
        hidden = self.encode(hidden_input)[-1]
        loss, accuracy = masked_cross_entropy(
            predict, hidden, self.units_of(batch, read), mask.to(hidden.device), unmasked_weight=self.unmasked_weight
        )
        return loss, {"masked_accuracy": accuracy}

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return stem, trunk blocks (each frame twice), head and output at 50 Hz."""
        if batch.features is None:
            raise ValueError("Eco needs features")
        return self.encode(self.prepare(self.read(batch.features)))

    def target_features(self, batch: Batch) -> Tensor:
        """Return the stage that is clustered; the stem is number 0 of ``hidden_states``."""
        return self.hidden_states(batch)[self.relabelled_layer()]

    def analytic_macs(self, num_samples: int) -> float:
        """Return the MACs of ``hidden_states`` by formula, the check of the counter."""
        fine = num_samples // (2 * LOGMEL_80.hop_samples)
        coarse = -(-fine // self.rate)
        width = self.down.out_features
        macs = self.tract.choosing_macs(2 * fine) if self.tract is not None else 0.0
        macs += fine * self.front.kernel_size[0] * LOGMEL_80.n_mels * width + 2.0 * coarse * self.rate * width**2
        if self.fine_path:
            macs += sum(block_macs(block, fine) for block in (self.stem, *self.head))
        return macs + sum(block_macs(block, coarse) for block in self.trunk)

    def trunk_layers(self) -> list[nn.Module]:
        """Return the trunk's and the head's blocks."""
        return [*self.trunk, *self.head]


def _frame_pairs(features: np.ndarray) -> np.ndarray:
    """Return pairs of neighbouring frames as they are, (T, F) -> (T // 2, 2 F)."""
    frames = np.asarray(features, dtype=np.float32)
    return frames[: len(frames) // 2 * 2].reshape(len(frames) // 2, -1)
