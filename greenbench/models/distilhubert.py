"""DistilHuBERT: a student of two layers that predicts several layers of a teacher (arXiv 2110.01900).

The teacher is a pretrained model of ``transformers`` (hub id or local folder), whose pretraining somebody else has
paid for and which the manifest names; or, without one, a HuBERT trained here on the first part of the same budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, HubertConfig, HubertModel

from greenbench.models.base import Batch, PretrainData, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.hubert import Hubert
from greenbench.models.kmeans import UnitLabels
from greenbench.models.waveform import encoder_config, normalise, takes_options_of
from greenbench.progress import Progress


class DistilHubert(Upstream):
    """Prediction of a teacher's layers from the waveform at 50 Hz."""

    @takes_options_of(encoder_config)
    def __init__(
        self,
        *,
        layers: int = 2,
        teacher: str = "",
        teacher_layers: int = 12,
        teacher_fraction: float = 0.5,
        predicted_layers: Sequence[int] = (4, 8, 12),
        cosine_weight: float = 1.0,
        units: int = 100,
        target_seconds: float = 1200.0,
        **encoder: Any,
    ) -> None:
        super().__init__()
        # Nothing is masked in distillation; without this, transformers would mask in training.
        student = encoder_config(HubertConfig, layers=layers, mask_time_prob=0.0, **{**encoder, "layerdrop": 0.0})
        self.source, self.teacher_fraction = teacher, 0.0 if teacher else teacher_fraction
        self.stage_fractions = () if teacher else (teacher_fraction,)
        self.stage = 0 if self.stage_fractions else 1
        if not teacher and not 0.0 < teacher_fraction < 1.0:
            raise ValueError(f"teacher_fraction = {teacher_fraction} must lie between 0 and 1, or name a teacher")
        self.trained_teacher = (
            None if teacher else Hubert(layers=teacher_layers, units=units, target_seconds=target_seconds, **encoder)
        )
        self.given_teacher = _frozen_teacher(teacher) if teacher else None
        depth = self.teacher_model.config.num_hidden_layers
        if not all(1 <= layer <= depth for layer in predicted_layers):
            raise ValueError(f"predicted_layers = {list(predicted_layers)} must lie between 1 and {depth}")
        self.predicted_layers = tuple(predicted_layers)
        self.model = HubertModel(student)
        width, goal = student.hidden_size, self.teacher_model.config.hidden_size
        self.expand = nn.ModuleList(nn.Linear(width, width) for _ in self.predicted_layers)
        self.heads = nn.ModuleList(nn.Linear(width, goal) for _ in self.predicted_layers)
        self.cosine_weight = cosine_weight
        if self.given_teacher is not None:
            self._start_from_teacher()

    @property
    def teacher_model(self) -> Any:
        """Return the teacher's encoder."""
        return self.given_teacher if self.trained_teacher is None else self.trained_teacher.model

    # -- the teacher's own training: targets and loss are HuBERT's ---------------------------------------------------

    @property
    def labels(self) -> UnitLabels | None:
        """Return the unit labels of the teacher that is trained here."""
        return self.trained_teacher.labels if self.trained_teacher is not None else None

    @labels.setter
    def labels(self, labels: UnitLabels) -> None:
        if self.trained_teacher is not None:
            self.trained_teacher.labels = labels

    def make_targets(self, data: PretrainData, *, seed: int, device: torch.device, progress: Progress) -> None:
        """Make the units that a teacher trained here predicts; a given teacher needs none."""
        if self.trained_teacher is not None:
            self.trained_teacher.make_targets(data, seed=seed, device=device, progress=progress)

    def targets_state(self) -> dict[str, np.ndarray]:
        """Return the unit labels."""
        return self.trained_teacher.targets_state() if self.trained_teacher is not None else {}

    def load_targets_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the unit labels."""
        if self.trained_teacher is not None:
            self.trained_teacher.load_targets_state(state)

    def extra_flops(self) -> float:
        """Return the FLOPs of k-means."""
        return self.trained_teacher.extra_flops() if self.trained_teacher is not None else 0.0

    # -- distillation -----------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """HuBERT's loss while the teacher is trained; then L1 and cosine distance to its layers."""
        if batch.waveform is None:
            raise ValueError("DistilHubert needs the waveform")
        if self.trained_teacher is not None and info.fraction < self.teacher_fraction:
            self.stage = 0
            loss, figures = self.trained_teacher.loss(batch, info)
            return loss, {**figures, "distilling": 0.0}
        if self.stage == 0:
            self._start_from_teacher()
        wave = normalise(batch.waveform)
        with torch.no_grad():
            self.teacher_model.eval()
            goals = layer_outputs(self.teacher_model.encoder.layers, lambda: self.teacher_model(wave))
        hidden = self.model(wave).last_hidden_state
        losses, cosines = [], []
        for expand, head, layer in zip(self.expand, self.heads, self.predicted_layers, strict=True):
            predicted = head(F.gelu(expand(hidden))).float()
            goal = goals[layer].float()
            cosine = F.cosine_similarity(predicted, goal, dim=-1)
            losses.append((predicted - goal).abs().mean() - self.cosine_weight * F.logsigmoid(cosine).mean())
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
        """Return the encoder's input and each layer's output."""
        if batch.waveform is None:
            raise ValueError("DistilHubert needs the waveform")
        wave = normalise(batch.waveform)
        return layer_outputs(self.trunk_layers(), lambda: self.model(wave))

    def trunk_layers(self) -> list[nn.Module]:
        """Return the student's layers."""
        return list(self.model.encoder.layers)

    def export_config(self) -> dict[str, Any]:
        """Return where the teacher comes from."""
        return {"teacher": self.source or "trained here", "teacher_fraction": self.teacher_fraction}


def _frozen_teacher(source: str) -> nn.Module:
    try:
        if torch.empty(0).is_meta:
            model = AutoModel.from_config(AutoConfig.from_pretrained(source))
        else:
            model = AutoModel.from_pretrained(source)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"teacher = {source!r} cannot be loaded ({reason}); give a hub id or a folder") from error
    if not hasattr(getattr(model, "encoder", None), "layers") or not hasattr(model.config, "conv_dim"):
        raise ValueError(f"teacher = {source!r} is no waveform encoder of the wav2vec 2.0 kind")
    return model.eval().requires_grad_(False)
