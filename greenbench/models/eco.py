"""eco: the efficient model of this suite.

A log-mel front end at 100 Hz, a stem at 50 Hz, a deep and thin trunk of convolution and attention blocks at 25 Hz,
and an upsampling head back at 50 Hz with a skip from the stem, so that a coarse trunk still gives fine frames.
It predicts k-means units of speaker-normalised log-mel context from distorted and partly masked input, which it reads
through the same normalisation of the speaker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.features.spec import LOGMEL_80
from greenbench.models.augment_mel import normalise_bands, warp_bands
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.context_units import ContextSpec, ContextUnits
from greenbench.models.convolution import strided
from greenbench.models.frames import stack_frames
from greenbench.models.kmeans import sample_utterances
from greenbench.models.layers import ConvBlock, block_macs, build_trunk
from greenbench.models.masking import WeightedMasking, masked_cross_entropy
from greenbench.models.relabel import Relabelling
from greenbench.models.unit_model import UnitModel, UnitTargets
from greenbench.progress import Progress

STEM_HZ = 50


@dataclass(frozen=True)
class EcoShape:
    """A stem at 50 Hz, a trunk at ``trunk_hz``, a head at 50 Hz.

    Patterns name blocks of convolution (``c``, of ``kernel`` frames) and attention (``a``); ``expansion`` is the inner
    width of the trunk's perceptrons. Without ``fine_path`` there is neither stem block, skip nor head: the trunk alone
    makes the frames.
    """

    width: int = 256
    pattern: str = "caca"
    head_pattern: str = "c"
    heads: int = 4
    kernel: int = 7
    expansion: float = 4.0
    trunk_hz: int = 25
    fine_path: bool = True

    def __post_init__(self) -> None:
        if STEM_HZ % self.trunk_hz:
            raise ValueError(f"trunk_hz = {self.trunk_hz} must divide {STEM_HZ}")


@dataclass(frozen=True)
class EcoTargets(UnitTargets):
    """Units of ``context`` as it is specified, or of plain log-mel ``frames``: pairs of 10 ms, as MelHuBERT's."""

    units: int = 400
    fit_seconds: float = 900.0
    kind: Literal["context", "frames"] = "context"
    context: ContextSpec = field(default_factory=ContextSpec)


@dataclass(frozen=True)
class EcoInputs:
    """How the encoder reads its input.

    In training the mel axis is shifted and stretched by up to ``warp``. ``normalise_tract``: through the warp that fits
    the units best, as the targets are found. ``normalise_utterance``: each band with mean 0 and deviation 1 over the
    utterance.
    """

    warp: float = 0.12
    normalise_tract: bool = True
    normalise_utterance: bool = True


@dataclass(frozen=True)
class EcoMasking(WeightedMasking):
    """Light masks under which visible frames count, and from ``heavy_from`` of the budget on heavy ones.

    Reading what is there is learnt in a few hundred updates and ends at what the units know. Context is learnt from
    masked frames alone, slowly, and best by an encoder that can read. At 1, as by default, masks stay light.
    """

    heavy_from: float = 1.0
    heavy_probability: float = 0.5
    heavy_span: int = 10

    def at(self, fraction: float) -> WeightedMasking:
        """What is masked once ``fraction`` of the budget is spent."""
        # A compiled step is made for one value of every number it looks at: without heavy masks it looks at none.
        if self.heavy_from >= 1.0 or fraction < self.heavy_from:
            return self
        return WeightedMasking(self.heavy_probability, self.heavy_span, unmasked_weight=0.0)


ENCODER = EcoShape()
TARGETS = EcoTargets()
INPUTS = EcoInputs()
MASKING = EcoMasking(probability=0.15, span=5, unmasked_weight=1.0)
RELABELLING = Relabelling(fit_seconds=900.0)


class Eco(UnitModel):
    """Prediction of context units from distorted, partly masked log-mel frames."""

    frame_hz = float(STEM_HZ)
    one_graph = True
    feature_spec = LOGMEL_80

    def __init__(
        self,
        *,
        encoder: EcoShape = ENCODER,
        targets: EcoTargets = TARGETS,
        inputs: EcoInputs = INPUTS,
        masking: EcoMasking = MASKING,
        relabelling: Relabelling = RELABELLING,
    ) -> None:
        width, fine = encoder.width, encoder.fine_path
        super().__init__(targets, relabelling, depth=len(encoder.pattern) + len(encoder.head_pattern) * fine)
        self.rate = STEM_HZ // encoder.trunk_hz
        self.fine_path, self.inputs, self.masking = fine, inputs, masking
        self.front = nn.Conv1d(LOGMEL_80.n_mels, width, 5, stride=2, padding=2)
        self.front_norm = nn.LayerNorm(width)
        self.stem = ConvBlock(width, kernel=5, expansion=2.0, scale=0.5) if fine else nn.Identity()
        self.down = nn.Linear(self.rate * width, width)
        blocks = {"heads": encoder.heads, "kernel": encoder.kernel}
        self.trunk = build_trunk(encoder.pattern, width, expansion=encoder.expansion, **blocks)
        self.up = nn.Linear(width, self.rate * width)
        self.head = build_trunk(encoder.head_pattern, width, expansion=2.0, **blocks) if fine else nn.ModuleList()
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, targets.units)
        by_context = targets.kind == "context"
        self.context = ContextUnits(targets.context, LOGMEL_80, targets.units) if by_context else None
        self.normalises_tract = by_context and inputs.normalise_tract and targets.context.warps > 1
        self.predict_later = nn.ModuleList(nn.Linear(width, self.later_units) for _ in self.relabel_at)

    # -- targets ----------------------------------------------------------------------------------------------------

    def make_targets(self, data: PretrainData, *, seed: int, device: torch.device, progress: Progress) -> None:
        """Find the units: of context freed of voice and room (:mod:`greenbench.models.context_units`), or of frames.

        Context units are assigned to crops as they come, so that a short budget does not label audio it never hears.
        """
        if self.context is None:
            super().make_targets(data, seed=seed, device=device, progress=progress)
            return
        progress("context units: fitting", 0.0)
        self._find_units(self.context, data, seed=seed)

    def _find_units(self, context: ContextUnits, data: PretrainData, *, seed: int) -> None:
        chosen = sample_utterances(data.num_samples, self.targets.fit_seconds, seed=seed)
        context.fit(data.features, chosen, seed=seed)
        self.target_flops = context.flops

    def frames_to_cluster(self, data: PretrainData) -> Callable[[int], np.ndarray]:
        """Give pairs of neighbouring frames as they are."""
        return lambda index: stack_frames(np.asarray(data.features(index), dtype=np.float32), 2)

    def make_stand_in_targets(self, data: PretrainData) -> None:
        """Label frames alike, but for context units: assigning those is part of a training step's cost."""
        if self.context is None or self.stage:
            super().make_stand_in_targets(data)

    def fit_reading(self, data: PretrainData, *, seed: int) -> None:
        """Find the units that the input's vocal tract is normalised by."""
        if self.context is not None and self.normalises_tract:
            self._find_units(self.context, data, seed=seed)

    def targets_state(self) -> dict[str, np.ndarray]:
        """Give labels and stage, and the fitted units, which the input's normalisation needs too."""
        fitted = self.context.state() if self.context is not None else {}
        return {**super().targets_state(), **{f"context.{name}": values for name, values in fitted.items()}}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore labels, stage and the fitted units."""
        if "labels" in state:
            super().load_targets_state(state)
        if self.context is not None:
            self.context.load_state({name: state[f"context.{name}"] for name in self.context.state()})

    # -- encoder ----------------------------------------------------------------------------------------------------

    def read(self, features: Tensor) -> Tensor:
        """Cut to an even number of frames; take the vocal tract out where the model reads so, (B, T, F)."""
        features = features[:, : features.shape[1] // 2 * 2]
        if self.context is None or not self.normalises_tract:
            return features
        return self.context.normalise_tract(features)

    def prepare(self, features: Tensor) -> Tensor:
        """Turn frames into those the encoder takes, (B, T, F)."""
        return normalise_bands(features) if self.inputs.normalise_utterance else features

    def units_of(self, batch: Batch, read: Tensor) -> Tensor:
        """Find the unit of each 20 ms frame of a batch, (B, T // 2) int64; ``read`` is what :meth:`read` gave."""
        if self.labels is not None:
            return self.labels.crop(self.origins_of(batch), read.shape[1] // 2)
        if self.context is None:
            raise ValueError("Eco needs targets")
        return self.context.assign(read if self.normalises_tract else self.context.normalise_tract(read))

    def encode(self, features: Tensor) -> list[Tensor]:
        """Compute all stages at 50 Hz, (B, T, F) -> [(B, T // 2, D), …]; the last is the normalised output."""
        stem = F.gelu(strided(features, self.front))
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
        read = self.read(self.features_of(batch))
        distorted = warp_bands(read, self.inputs.warp, info.draws) if self.inputs.warp else read
        features = self.prepare(distorted)
        masking = self.masking.at(info.fraction)
        mask = masking.draw(batch.size, features.shape[1] // 2, info.draws)
        hidden_input = features.masked_fill(mask.repeat_interleave(2, dim=1).unsqueeze(-1), 0.0)
        predict = self.predict_later[self.stage - 1] if self.stage else self.predict
        hidden = self.encode(hidden_input)[-1]
        loss, accuracy = masked_cross_entropy(
            predict, hidden, self.units_of(batch, read), mask, unmasked_weight=masking.unmasked_weight
        )
        return loss, {"masked_accuracy": accuracy}

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute stem, trunk blocks (each frame twice), head and output at 50 Hz."""
        return self.encode(self.prepare(self.read(self.features_of(batch))))

    def target_features(self, batch: Batch) -> Tensor:
        """Give the stage that is clustered; the stem is number 0 of ``hidden_states``."""
        return self.hidden_states(batch)[self.relabelled_layer]

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of ``hidden_states`` by formula, the check of the counter."""
        fine = num_samples // (2 * LOGMEL_80.hop_samples)
        coarse = -(-fine // self.rate)
        width = self.down.out_features
        reading = self.context if self.normalises_tract else None
        macs = reading.choosing_macs(2 * fine) if reading is not None else 0.0
        macs += fine * self.front.kernel_size[0] * LOGMEL_80.n_mels * width + 2.0 * coarse * self.rate * width**2
        if self.fine_path:
            macs += sum(block_macs(block, fine) for block in (self.stem, *self.head))
        return macs + sum(block_macs(block, coarse) for block in self.trunk)

    def trunk_layers(self) -> list[nn.Module]:
        """List the trunk's and the head's blocks."""
        return [*self.trunk, *self.head]
