"""The cross-check: multiply-accumulates written down by hand from the architecture's numbers alone.

Nothing here looks at operators or runs a model. A model of one's own joins by a method
``analytic_macs(num_samples) -> float``: MACs of ``hidden_states`` for one crop;
``greenbench.models.macs`` has the bricks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from greenbench.models.macs import (
    attention_macs,
    conformer_macs,
    conv_length,
    conv_stack_macs,
    feed_forward_macs,
    grouped_conv_macs,
)

if TYPE_CHECKING:
    from greenbench.models.base import Upstream

WAV2VEC2_KIND = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
"""Waveform, convolutions, positions by a convolution, Transformer layers."""


def encoder_macs(frames: int, config: Any) -> float:
    """Return MACs of a ``transformers`` encoder of the wav2vec 2.0 kind, positions included."""
    width = config.hidden_size
    layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.intermediate_size)
    if config.model_type == "data2vec-audio":
        # Even kernels would lengthen the sequence by one frame; the published kernel of 19 does not.
        one = grouped_conv_macs(frames, width, config.conv_pos_kernel_size, config.num_conv_pos_embedding_groups)
        positions = one * config.num_conv_pos_embeddings
    else:
        # The published even kernel (128) is padded on both sides: one frame more is computed, then cut.
        computed = frames + 1 - config.num_conv_pos_embeddings % 2
        positions = grouped_conv_macs(
            computed, width, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
        )
    if config.model_type == "wavlm":
        # The gate of the relative position bias: 8 values from each head's share of the frame.
        layer += float(frames) * width * 8
    return positions + config.num_hidden_layers * layer


def waveform_model_macs(num_samples: int, config: Any) -> float:
    """Return MACs of a ``transformers`` model of the wav2vec 2.0 kind on one waveform."""
    front, frames = conv_stack_macs(num_samples, 1, config.conv_dim, config.conv_kernel, config.conv_stride)
    projection = float(frames) * config.conv_dim[-1] * config.hidden_size
    return front + projection + encoder_macs(frames, config)


def conformer_encoder_macs(frames: int, config: Any) -> float:
    """Return MACs of a ``transformers`` Conformer (w2v-BERT, wav2vec 2.0 Conformer) on one crop, positions included."""
    width = config.hidden_size
    layer = conformer_macs(frames, width, config.intermediate_size, config.conv_depthwise_kernel_size)
    if config.position_embeddings_type == "relative_key":
        # Each query meets an embedding of its distance from each key (Shaw et al., arXiv 1803.02155).
        layer += float(frames) * frames * width
    elif config.position_embeddings_type == "relative":
        # Each of the 2 T - 1 distances is projected, then meets each query (Transformer-XL, arXiv 1901.02860).
        distances = 2 * frames - 1
        layer += float(distances) * width * width + float(frames) * distances * width
    return config.num_hidden_layers * layer


def w2v_bert_macs(num_samples: int, config: Any) -> float:
    """Return MACs of ``Wav2Vec2BertModel`` on pairs of log-mel frames: whole windows of 25 ms every 10 ms."""
    frames = math.ceil(conv_length(num_samples, 400, 160) / 2)
    projection = float(frames) * config.feature_projection_input_dim * config.hidden_size
    return projection + conformer_encoder_macs(frames, config)


def whisper_encoder_macs(config: Any) -> float:
    """Return MACs of ``WhisperEncoder``; it always reads its whole window (30 s), however short the crop is."""
    frames, width = config.max_source_positions, config.d_model
    # Two convolutions of three frames; the second halves the rate.
    front = 2.0 * frames * config.num_mel_bins * 3 * width + float(frames) * width * 3 * width
    layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.encoder_ffn_dim)
    return front + config.encoder_layers * layer


def sew_macs(num_samples: int, config: Any) -> float:
    """Return MACs of ``SEWModel`` on one waveform: its layers run at a fraction of the convolutions' rate."""
    front, frames = conv_stack_macs(num_samples, 1, config.conv_dim, config.conv_kernel, config.conv_stride)
    width, squeezed = config.hidden_size, frames // config.squeeze_factor
    projection = float(frames) * config.conv_dim[-1] * width if config.conv_dim[-1] != width else 0.0
    kernel = config.num_conv_pos_embeddings
    computed = conv_length(frames, kernel, config.squeeze_factor, kernel // 2)
    positions = grouped_conv_macs(computed, width, kernel, config.num_conv_pos_embedding_groups)
    layer = attention_macs(squeezed, width) + feed_forward_macs(squeezed, width, config.intermediate_size)
    upsampling = float(squeezed) * width * width * config.squeeze_factor
    return front + projection + positions + config.num_hidden_layers * layer + upsampling


def transformers_macs(num_samples: int, config: Any) -> float | None:
    """Return MACs of a speech encoder of ``transformers`` on one waveform, or None for a kind without a formula."""
    if getattr(config, "add_adapter", False) or getattr(config, "use_intermediate_ffn_before_adapter", False):
        return None
    if config.model_type in WAV2VEC2_KIND:
        return waveform_model_macs(num_samples, config)
    if config.model_type == "wav2vec2-conformer":
        front, frames = conv_stack_macs(num_samples, 1, config.conv_dim, config.conv_kernel, config.conv_stride)
        return front + float(frames) * config.conv_dim[-1] * config.hidden_size + conformer_encoder_macs(frames, config)
    if config.model_type == "sew":
        return sew_macs(num_samples, config)
    if config.model_type == "wav2vec2-bert":
        return w2v_bert_macs(num_samples, config)
    if config.model_type == "whisper":
        return whisper_encoder_macs(config)
    return None


def analytic_macs(model: Upstream, num_samples: int) -> float | None:
    """Return MACs of ``hidden_states`` for one crop by formula, or None for an architecture without one."""
    own = getattr(model, "analytic_macs", None)
    if own is not None:
        return float(own(num_samples))
    inner = getattr(model, "model", None)
    config = getattr(inner, "config", None)
    if hasattr(config, "model_type"):
        return transformers_macs(num_samples, config)
    encoder, project = getattr(model, "encoder", None), getattr(model, "project", None)
    config = getattr(encoder, "config", None)
    if config is None or project is None or model.feature_spec is None:
        return None
    stacked = project.in_features // model.feature_spec.dim
    frames = model.feature_spec.num_frames(num_samples) // stacked
    return float(frames) * project.in_features * config.hidden_size + encoder_macs(frames, config)
