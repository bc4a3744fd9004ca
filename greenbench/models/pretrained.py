"""Any speech encoder of ``transformers``, by hub id or local folder: evaluated, not trained.

Its pretraining was paid for elsewhere and is shown as published. Without a source, ``model_type`` and ``config``
describe an architecture whose cost can be counted on the meta device.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from greenbench.models.base import Batch, Upstream
from greenbench.models.transformers_macs import transformers_macs
from greenbench.models.waveform import normalise
from greenbench.units import SAMPLE_RATE

MEL_MODELS = {"wav2vec2-bert": 50.0, "whisper": 50.0}
"""Encoders that read features which their own extractor computes, with their frame rate."""


class Pretrained(Upstream):
    """Hidden states of a pretrained encoder, all layers."""

    def __init__(
        self, *, source: str = "", revision: str = "main", model_type: str = "", config: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        if not source and not model_type:
            raise ValueError("source is empty; give a hub id or a local folder, for example facebook/hubert-base-ls960")
        virtual = torch.empty(0).is_meta
        if not source and not virtual:
            raise ValueError("this size describes a cost only; give source = a hub id or a local folder to evaluate it")
        self.source, self.revision = source, revision
        try:
            settings = _settings(source, revision, model_type, config or {})
            if virtual:
                model = AutoModel.from_config(settings)
            else:
                model = AutoModel.from_pretrained(source, revision=revision, config=settings)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"source = {source or model_type!r} cannot be loaded ({reason})") from error
        self.kind = settings.model_type
        self.own_features = self.kind in MEL_MODELS
        self.model = model.get_encoder() if settings.is_encoder_decoder else model
        self.frame_hz = _frame_hz(settings, source or model_type)
        self.extractor = None if virtual else _extractor(source, revision)

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """The encoder's input and each layer's output, cut to the crop's length."""
        output = self.model(self._inputs(self.waveform_of(batch)), output_hidden_states=True)
        frames = math.ceil(batch.num_samples * self.frame_hz / SAMPLE_RATE)
        return [states[:, :frames] for states in output.hidden_states]

    def _inputs(self, waveform: Tensor) -> Tensor:
        if not self.own_features:
            return normalise(waveform) if getattr(self.extractor, "do_normalize", True) else waveform
        if self.extractor is None:
            return self._virtual_features(waveform)
        arrays = [row.cpu().numpy() for row in waveform]
        features = self.extractor(arrays, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
        return features.to(waveform.device)

    def _virtual_features(self, waveform: Tensor) -> Tensor:
        """Shapes as the extractor would give them."""
        config, rows = self.model.config, len(waveform)
        if self.kind == "whisper":
            return waveform.new_empty(rows, config.num_mel_bins, 2 * config.max_source_positions)
        # Whole windows of 25 ms every 10 ms, padded to an even number and taken two at a time.
        mel_frames = 1 + (waveform.shape[1] - 400) // 160
        return waveform.new_empty(rows, (mel_frames + 1) // 2, config.feature_projection_input_dim)

    def trunk_layers(self) -> list[nn.Module]:
        """The encoder layers, where the model keeps them as all encoders of the field do."""
        holder = getattr(self.model, "encoder", self.model)
        return list(getattr(holder, "layers", []))

    def analytic_macs(self, num_samples: int) -> float | None:
        """Work out the MACs by formula; None for an encoder of a kind that has none."""
        return transformers_macs(num_samples, self.model.config)

    def pretraining_parameters(self) -> list[nn.Parameter]:
        """All parameters: they were trained, though not here."""
        return list(self.parameters())

    def export_config(self) -> dict[str, Any]:
        """Where the weights come from."""
        return {"source": self.source, "revision": self.revision, "model_type": self.kind}


def _settings(source: str, revision: str, model_type: str, config: dict[str, Any]) -> Any:
    if source:
        return AutoConfig.from_pretrained(source, revision=revision)
    return AutoConfig.for_model(model_type, **config)


def _frame_hz(settings: Any, source: str) -> float:
    if settings.model_type in MEL_MODELS:
        return MEL_MODELS[settings.model_type]
    strides = getattr(settings, "conv_stride", None)
    if strides is None:
        known = ", ".join(["wav2vec 2.0 kind (conv_stride)", *MEL_MODELS])
        raise ValueError(f"source = {source!r} is a {settings.model_type}; speech encoders read here: {known}")
    # SEW halves the rate once more behind its convolutions.
    return SAMPLE_RATE / (math.prod(strides) * getattr(settings, "squeeze_factor", 1))


def _extractor(source: str, revision: str) -> Any:
    """The feature extractor that belongs to the weights, None where the folder has none."""
    try:
        return AutoFeatureExtractor.from_pretrained(source, revision=revision)
    except (OSError, ValueError):
        return None
