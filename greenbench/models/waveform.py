"""What the models that read the waveform share: options of a ``transformers`` encoder, and input normalisation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

from greenbench.models.attention import use_attend

F = TypeVar("F", bound=Callable[..., Any])


def encoder_config(
    kind: Callable[..., Any],
    *,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    feed_forward: int = 3072,
    conv_channels: int = 512,
    feat_extract_norm: str = "group",
    stable_layer_norm: bool = False,
    conv_pos_kernel: int = 128,
    conv_pos_groups: int = 16,
    dropout: float = 0.1,
    layerdrop: float = 0.05,
    **extra: Any,
) -> Any:
    """Build a ``transformers`` configuration of the wav2vec 2.0 kind; ``extra`` wins."""
    options: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": feed_forward,
        "conv_dim": (conv_channels,) * 7,
        "feat_extract_norm": feat_extract_norm,
        "conv_bias": stable_layer_norm,
        "do_stable_layer_norm": stable_layer_norm,
        "hidden_dropout": dropout,
        "attention_dropout": dropout,
        "activation_dropout": 0.0,
        "feat_proj_dropout": dropout,
        "final_dropout": 0.0,
        "layerdrop": layerdrop,
        "num_conv_pos_embeddings": conv_pos_kernel,
        "num_conv_pos_embedding_groups": conv_pos_groups,
        "mask_time_prob": 0.05,
        "mask_feature_prob": 0.0,
    }
    config = kind(**{**options, **extra})
    if config.model_type != "wavlm":
        use_attend(config)
    return config


def takes_options_of(*others: Callable[..., Any]) -> Callable[[F], F]:
    """Let a constructor's ``**options`` be known by name, so that a misspelt one is answered with the nearest.

    ``others`` are the functions that the options are handed on to.
    """

    def decorate(constructor: F) -> F:
        own = inspect.signature(constructor)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        known = {p.name: p for other in others for p in inspect.signature(other).parameters.values()}
        for parameter in kept:
            known.pop(parameter.name, None)
        added = [p for p in known.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        constructor.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        return constructor

    return decorate


def normalise(waveform: Tensor) -> Tensor:
    """Scale each waveform (B, S) to zero mean and unit variance, as the published feature extractors do."""
    mean = waveform.mean(dim=-1, keepdim=True)
    return (waveform - mean) / (waveform.var(dim=-1, keepdim=True, unbiased=False) + 1e-7).sqrt()


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context without autocast, for a loss whose small differences must survive."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
