"""Multiply-accumulates of encoders of ``transformers``, worked out by hand from their configurations alone.

Nothing here looks at operators or runs a model: it is what the counter is checked against.
"""

from __future__ import annotations

import math
from typing import Any

from greenbench.models.macs import (
    attention_macs,
    conformer_macs,
    conv_length,
    conv_stack_macs,
    feed_forward_macs,
    grouped_conv_macs,
    positions_macs,
)

WAV2VEC2_KIND = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
"""Waveform, convolutions, positions by a convolution, Transformer layers."""


def encoder_macs(frames: int, config: Any) -> float:
    """Work out MACs of a ``transformers`` encoder of the wav2vec 2.0 kind, positions included."""
    width = config.hidden_size
    layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.intermediate_size)
    if config.model_type == "data2vec-audio":
        # Even kernels would lengthen the sequence by one frame; the published kernel of 19 does not.
        one = grouped_conv_macs(frames, width, config.conv_pos_kernel_size, config.num_conv_pos_embedding_groups)
        positions = one * config.num_conv_pos_embeddings
    else:
        positions = positions_macs(frames, width, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups)
    if config.model_type == "wavlm":
        # The gate of the relative position bias: 8 values from each head's share of the frame.
        layer += float(frames) * width * 8
    return positions + config.num_hidden_layers * layer


def front_end_frames(config: Any, num_samples: int) -> int:
    """Count the frames that the convolutional front end of the wav2vec 2.0 kind makes of so many samples."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        num_samples = conv_length(num_samples, kernel, stride)
    return num_samples


def waveform_model_macs(num_samples: int, config: Any) -> float:
    """Work out MACs of a ``transformers`` model of the wav2vec 2.0 kind on one waveform."""
    front, frames = conv_stack_macs(num_samples, 1, config.conv_dim, config.conv_kernel, config.conv_stride)
    projection = float(frames) * config.conv_dim[-1] * config.hidden_size
    return front + projection + encoder_macs(frames, config)


def conformer_encoder_macs(frames: int, config: Any) -> float:
    """Work out MACs of a Conformer of ``transformers`` (w2v-BERT, wav2vec 2.0 Conformer), positions included."""
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
    """Work out MACs of ``Wav2Vec2BertModel`` on pairs of log-mel frames: whole windows of 25 ms every 10 ms."""
    frames = math.ceil(conv_length(num_samples, 400, 160) / 2)
    projection = float(frames) * config.feature_projection_input_dim * config.hidden_size
    return projection + conformer_encoder_macs(frames, config)


def whisper_encoder_macs(config: Any) -> float:
    """Work out MACs of ``WhisperEncoder``; it always reads its whole window (30 s), however short the crop is."""
    frames, width = config.max_source_positions, config.d_model
    # Two convolutions of three frames; the second halves the rate.
    front = 2.0 * frames * config.num_mel_bins * 3 * width + float(frames) * width * 3 * width
    layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.encoder_ffn_dim)
    return front + config.encoder_layers * layer


def sew_macs(num_samples: int, config: Any) -> float:
    """Work out MACs of ``SEWModel`` on one waveform: its layers run at a fraction of the convolutions' rate."""
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
    """Work out MACs of a speech encoder of ``transformers`` on one waveform, or None for a kind without a formula."""
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
