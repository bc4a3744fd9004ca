"""DistilHuBERT: a student of two layers that predicts several layers of a teacher (arXiv 2110.01900).

The teacher is a pretrained model of ``transformers`` (hub id or local folder), whose pretraining somebody else has
paid for and which the manifest names; or, without one, a HuBERT trained here on the first part of the same budget.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, HubertConfig, HubertModel

from greenbench.models.base import Batch, PretrainData, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.encoders import WaveformShape
from greenbench.models.hubert import TARGETS, Hubert
from greenbench.models.transformers_macs import waveform_model_macs
from greenbench.models.unit_model import UnitTargets
from greenbench.models.waveform import normalise
from greenbench.progress import Progress


@dataclass(frozen=True)
class Teacher:
    """A ``source`` (hub id or folder), or without one a HuBERT of ``layers``, trained on ``fraction`` of the budget."""

    source: str = ""
    layers: int = 12
    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not self.source and not 0.0 < self.fraction < 1.0:
            raise ValueError(f"fraction = {self.fraction} must lie between 0 and 1, or name a source")


@dataclass(frozen=True)
class Distillation:
    """The teacher's layers that are predicted, and what the cosine counts beside the distance."""

    predicted_layers: tuple[int, ...] = (4, 8, 12)
    cosine_weight: float = 1.0


ENCODER = WaveformShape(layers=2)
TEACHER = Teacher()
DISTILLATION = Distillation()


class DistilHubert(Upstream):
    """Prediction of a teacher's layers from the waveform at 50 Hz; a teacher trained here has the student's widths."""

    def __init__(
        self,
        *,
        encoder: WaveformShape = ENCODER,
        teacher: Teacher = TEACHER,
        targets: UnitTargets = TARGETS,
        distillation: Distillation = DISTILLATION,
    ) -> None:
        super().__init__()
        self.source, self.distillation = teacher.source, distillation
        self.teacher_fraction = 0.0 if teacher.source else teacher.fraction
        self.stage_fractions = () if teacher.source else (teacher.fraction,)
        self.stage = 0 if self.stage_fractions else 1
        self.trained_teacher = (
            None
            if teacher.source
            else Hubert(encoder=dataclasses.replace(encoder, layers=teacher.layers), targets=targets)
        )
        self.given_teacher = _frozen_teacher(teacher.source) if teacher.source else None
        depth, predicted = self.teacher_model.config.num_hidden_layers, distillation.predicted_layers
        if not all(1 <= layer <= depth for layer in predicted):
            raise ValueError(f"distillation.predicted_layers = {list(predicted)} must lie between 1 and {depth}")
        # Nothing is masked in distillation; without this, transformers would mask in training.
        student = dataclasses.replace(encoder, layerdrop=0.0).config(HubertConfig, mask_time_prob=0.0)
        self.model = HubertModel(student)
        width, goal = student.hidden_size, self.teacher_model.config.hidden_size
        self.expand = nn.ModuleList(nn.Linear(width, width) for _ in predicted)
        self.heads = nn.ModuleList(nn.Linear(width, goal) for _ in predicted)
        if self.given_teacher is not None:
            self._start_from_teacher()

    @property
    def teacher_model(self) -> Any:
        """The teacher's encoder."""
        return self.given_teacher if self.trained_teacher is None else self.trained_teacher.model

    # -- the teacher's own training: targets and loss are HuBERT's ---------------------------------------------------

    def make_targets(self, data: PretrainData, *, seed: int, device: torch.device, progress: Progress) -> None:
        """Make the units that a teacher trained here predicts; a given teacher needs none."""
        if self.trained_teacher is not None:
            self.trained_teacher.make_targets(data, seed=seed, device=device, progress=progress)

    def make_stand_in_targets(self, data: PretrainData) -> None:
        """Label all frames alike for a teacher trained here."""
        if self.trained_teacher is not None:
            self.trained_teacher.make_stand_in_targets(data)

    def place_targets(self, device: torch.device) -> None:
        """Keep the labels of a teacher trained here where it is trained."""
        if self.trained_teacher is not None:
            self.trained_teacher.place_targets(device)

    def targets_state(self) -> dict[str, np.ndarray]:
        """Give the unit labels."""
        return self.trained_teacher.targets_state() if self.trained_teacher is not None else {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the unit labels."""
        if self.trained_teacher is not None:
            self.trained_teacher.load_targets_state(state)

    def extra_flops(self) -> float:
        """Sum the FLOPs of k-means."""
        return self.trained_teacher.extra_flops() if self.trained_teacher is not None else 0.0

    # -- distillation -----------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """HuBERT's loss while the teacher is trained; then L1 and cosine distance to its layers."""
        waveform = self.waveform_of(batch)
        if self.trained_teacher is not None and info.fraction < self.teacher_fraction:
            self.stage = 0
            loss, figures = self.trained_teacher.loss(batch, info)
            return loss, {**figures, "distilling": 0.0}
        if self.stage == 0:
            self._start_from_teacher()
        wave = normalise(waveform)
        with torch.no_grad():
            self.teacher_model.eval()
            goals = layer_outputs(self.teacher_model.encoder.layers, lambda: self.teacher_model(wave))
        hidden = self.model(wave).last_hidden_state
        losses, cosines, weight = [], [], self.distillation.cosine_weight
        for expand, head, layer in zip(self.expand, self.heads, self.distillation.predicted_layers, strict=True):
            predicted = head(F.gelu(expand(hidden))).float()
            goal = goals[layer].float()
            cosine = F.cosine_similarity(predicted, goal, dim=-1)
            losses.append((predicted - goal).abs().mean() - weight * F.logsigmoid(cosine).mean())
            cosines.append(cosine.mean())
        return torch.stack(losses).mean(), {"cosine": torch.stack(cosines).mean().detach(), "distilling": 1.0}

    @torch.no_grad()
    def _start_from_teacher(self) -> None:
        """Copy front end, positions and lower layers of the teacher where shapes agree, as published; then distil."""
        self.stage = 1
        source = dict(self.teacher_model.named_parameters())
        for name, parameter in self.model.named_parameters():
            if name in source and source[name].shape == parameter.shape:
                parameter.copy_(source[name])

    def get_extra_state(self) -> Tensor:
        """Keep the stage in the state dict: a resumed run must not start the student anew."""
        return torch.tensor(self.stage)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the stage back."""
        self.stage = int(state)

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the encoder's input and each layer's output."""
        wave = normalise(self.waveform_of(batch))
        return layer_outputs(self.trunk_layers(), lambda: self.model(wave))

    def trunk_layers(self) -> list[nn.Module]:
        """List the student's layers."""
        return list(self.model.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        return waveform_model_macs(num_samples, self.model.config)

    def export_config(self) -> dict[str, Any]:
        """Say where the teacher comes from."""
        return {"teacher": self.source or "trained here", "teacher_fraction": self.teacher_fraction}


def _frozen_teacher(source: str) -> nn.Module:
    try:
        if torch.empty(0).is_meta:
            model = AutoModel.from_config(AutoConfig.from_pretrained(source))
        else:
            model = AutoModel.from_pretrained(source)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"teacher.source = {source!r} cannot be loaded ({reason}); give a hub id or a folder"
        ) from error
    if not hasattr(getattr(model, "encoder", None), "layers") or not hasattr(model.config, "conv_dim"):
        raise ValueError(f"teacher.source = {source!r} is no waveform encoder of the wav2vec 2.0 kind")
    return model.eval().requires_grad_(False)
