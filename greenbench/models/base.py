"""What a model must offer to be trained, metered and evaluated: the one door for ours and for a user's own.

A model is an :class:`Upstream`: it reads a :class:`Batch` (waveform, or features it asked for), has a
self-supervised ``loss`` and gives ``hidden_states``. All items of a batch have the same length, so nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from greenbench.batches.batch import Batch
from greenbench.models.draws import Draws
from greenbench.progress import Progress

if TYPE_CHECKING:
    from greenbench.features.spec import FeatureSpec

__all__ = ["Batch", "PretrainData", "StepInfo", "Upstream"]


@dataclass(frozen=True)
class StepInfo:
    """Where training stands: ``fraction`` of the budget spent (0..1), the update's number, and what it draws.

    ``draws`` are numbers of this update on the model's device: no graph break, no copy. ``generator`` is the training's
    own on the CPU, for what they do not offer.
    """

    step: int
    fraction: float
    generator: torch.Generator
    draws: Draws


class PretrainData(Protocol):
    """What target making may read: the pretraining split, by utterance."""

    num_samples: np.ndarray
    """Length of each utterance in samples, (N,)."""

    def waveform(self, index: int) -> np.ndarray:
        """One utterance, (S,) float32 at 16 kHz."""

    def features(self, index: int) -> np.ndarray:
        """One utterance's features as the model asked for them, (T, F) float16, normalised."""

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        """Compute other features of all utterances at once; return the reader of one, (T, F) float16."""


class Upstream(nn.Module):
    """Base class of all models, and everything that training, counting and evaluation ask of one.

    ``__init__`` takes the options of the card as keyword arguments (:mod:`greenbench.models.options`). Attributes are
    set on the class or by ``__init__``.
    """

    feature_spec: FeatureSpec | None = None
    """The features the model reads; None means the waveform."""

    frame_hz: float = 50.0
    """Frames per second of the hidden states."""

    one_graph: bool = False
    """Whether a compiler gets all of ``loss`` as one graph. Elsewhere it may fall back to Python in between."""

    own_features: bool = False
    """Whether the model computes features outside of torch, where no FLOPs can be counted."""

    language_alpha: float | None = None
    """Balance of languages in the batches: a share p of the audio becomes p ** alpha; None leaves the corpus alone."""

    def fit_reading(self, data: PretrainData, *, seed: int) -> None:
        """Fit what the input is normalised by, and nothing that is learnt: all that a random control may know.

        ``make_targets`` of a model that reads so does it too. The default needs nothing.
        """

    learns_from: str = "pretrain"
    """The split whose audio it is trained on: a topline learns from the labelled one, ``train``."""

    relabel_at: tuple[float, ...] = ()
    """Fractions of the budget, rising, at which ``remake_targets`` is called; each begins a stage."""

    restarts: bool = False
    """Whether each stage begins with fresh weights, a fresh optimizer and a learning-rate schedule of its own."""

    stage_fractions: tuple[float, ...] = ()
    """Fractions of the budget at which a later stage begins whose steps cost something else (a teacher's)."""

    stage: int = 0
    """The stage the model stands in. Where there are several it is set from outside too, to count each one's costs."""

    def __init__(self) -> None:
        super().__init__()

    # -- targets ----------------------------------------------------------------------------------------------------

    def make_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,  # noqa: ARG002 - a reading is fitted on the CPU
        progress: Progress,  # noqa: ARG002 - it takes a second
    ) -> None:
        """Make what the loss needs before training (k-means labels, …). Booked as phase ``targets``.

        ``progress(text, fraction)`` reports. The default fits the reading alone.
        """
        self.fit_reading(data, seed=seed)

    @property
    def makes_targets(self) -> bool:
        """Whether there is anything to make before training."""
        kind = type(self)
        return kind.make_targets is not Upstream.make_targets or kind.fit_reading is not Upstream.fit_reading

    def make_stand_in_targets(self, data: PretrainData) -> None:
        """Make targets of the right form and no meaning, so that the loss can be counted and checked.

        ``data`` is a few seconds of noise. By default they are made as those of training.
        """
        self.make_targets(data, seed=0, device=torch.device("cpu"), progress=lambda *_: None)

    def place_targets(self, device: torch.device) -> None:
        """Move what the loss looks targets up in to ``device``, once: no step shall copy it. The default has none."""

    def remake_targets(
        self,
        data: PretrainData,
        *,
        seed: int,
        device: torch.device,
        progress: Progress,
        flops_of_pass: Callable[[int, int], float],
    ) -> None:
        """Make targets anew from ``target_features`` in mid-training. Booked as phase ``targets`` too.

        Called without gradients in evaluation mode. ``flops_of_pass(batch, num_samples)`` says what the features of a
        batch cost; the sum belongs into ``extra_flops``. ``targets_state`` must then hold the new targets.
        """
        raise NotImplementedError(f"{type(self).__name__} names relabel_at and must implement remake_targets")

    def target_features(self, batch: Batch) -> Tensor:
        """Give what later stages make their targets from, (B, T, D); the middle of ``hidden_states`` by default."""
        states = self.hidden_states(batch)
        return states[len(states) // 2]

    def targets_state(self) -> dict[str, np.ndarray]:
        """Give what ``make_targets`` made, as arrays, so that a resumed trial does not pay for it again."""
        return {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Take back what ``targets_state`` gave."""

    def extra_flops(self) -> float:
        """Sum the FLOPs of target making done so far outside ``loss`` (k-means, teacher passes)."""
        return 0.0

    # -- training ---------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Compute the scalar loss, and further figures for the log."""
        raise NotImplementedError(f"{type(self).__name__} has no loss: it is evaluated, not trained")

    def after_step(self, info: StepInfo) -> None:
        """Run after each optimizer update (EMA teacher, codebooks, …)."""

    def pretraining_parameters(self) -> list[nn.Parameter]:
        """List the parameters the optimizer updates."""
        return [p for p in self.parameters() if p.requires_grad]

    # -- representation ---------------------------------------------------------------------------------------------

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the representation layer by layer, each (B, T, D) at ``frame_hz``, the front end's output first.

        T is within one frame of ``num_samples / 16000 * frame_hz``. Called without gradients in evaluation, with
        gradients when fine-tuned. Layers may differ in D.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement hidden_states")

    def trunk_layers(self) -> list[nn.Module]:
        """List the encoder layers in order, for adapters, activation checkpointing and per-layer costs."""
        return []

    def analytic_macs(self, num_samples: int) -> float | None:
        """Work out the multiply-accumulates of ``hidden_states`` for one crop by hand, to check the counter against.

        :mod:`greenbench.models.macs` has the bricks. None: this architecture has no formula.
        """

    def export_config(self) -> dict[str, Any]:
        """Give further facts for the manifest."""
        return {}

    # -- input ------------------------------------------------------------------------------------------------------

    def waveform_of(self, batch: Batch) -> Tensor:
        """Take the waveform (B, S) out of a batch; ``ValueError`` names the model where there is none."""
        if batch.waveform is None:
            raise ValueError(f"{type(self).__name__} needs the waveform")
        return batch.waveform

    def features_of(self, batch: Batch) -> Tensor:
        """Take the features (B, T, F) out of a batch; ``ValueError`` names the model where there are none."""
        if batch.features is None:
            raise ValueError(f"{type(self).__name__} needs features")
        return batch.features

    def origins_of(self, batch: Batch) -> Tensor:
        """Utterance and first sample of each crop, (B, 2) int64, on the device of the samples or features."""
        if batch.origins is not None:
            return batch.origins
        origins = torch.from_numpy(np.stack([batch.utterances, batch.starts], axis=1).astype(np.int64))
        values = batch.waveform if batch.features is None else batch.features
        return origins if values is None else origins.to(values.device)
