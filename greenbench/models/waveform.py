"""What the models that read the waveform share: normalised and masked input, and losses in full precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def normalise(waveform: Tensor) -> Tensor:
    """Scale each waveform (B, S) to zero mean and unit variance, as the published feature extractors do."""
    mean = waveform.mean(dim=-1, keepdim=True)
    return (waveform - mean) / (waveform.var(dim=-1, keepdim=True, unbiased=False) + 1e-7).sqrt()


def encode_masked(model: Any, waveform: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Encode waveforms (B, S) with frames in ``mask`` (B, T) replaced by the model's embedding of what is hidden.

    The forward pass of ``transformers``' wav2vec 2.0, HuBERT and WavLM, which indexes by the mask and so waits for the
    device. Returns the last layer's output and the latent frames, normalised where the projection gives them so.
    """
    latent = waveform.unsqueeze(1)
    # Its own forward pass asks for the gradient of the waveform, which nobody needs and no compiler takes.
    for layer in model.feature_extractor.conv_layers:
        latent = layer(latent)
    latent = latent.transpose(1, 2)
    projected = model.feature_projection(latent)
    if isinstance(projected, tuple):
        projected, latent = projected
    masked = torch.where(mask.unsqueeze(-1), model.masked_spec_embed.to(projected.dtype), projected)
    return model.encoder(masked)[0], latent


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the tensor's device, for a loss whose small differences must survive."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
