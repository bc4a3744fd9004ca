"""The cross-check: multiply-accumulates written down by hand from the architecture's numbers alone.

Nothing here looks at operators or runs a model. A model of one's own joins by a method
``analytic_macs(num_samples) -> float``: MACs of ``hidden_states`` for one crop;
``greenbench.models.macs`` has the bricks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenbench.models.macs import attention_macs, conv_stack_macs, feed_forward_macs, grouped_conv_macs

if TYPE_CHECKING:
    from greenbench.models.base import Upstream


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


def analytic_macs(model: Upstream, num_samples: int) -> float | None:
    """Return MACs of ``hidden_states`` for one crop by formula, or None for an architecture without one."""
    own = getattr(model, "analytic_macs", None)
    if own is not None:
        return float(own(num_samples))
    inner = getattr(model, "model", None)
    config = getattr(inner, "config", None)
    if config is not None and hasattr(config, "conv_dim"):
        return waveform_model_macs(num_samples, config)
    encoder, project = getattr(model, "encoder", None), getattr(model, "project", None)
    config = getattr(encoder, "config", None)
    if config is None or project is None or model.feature_spec is None:
        return None
    stacked = project.in_features // model.feature_spec.dim
    frames = model.feature_spec.num_frames(num_samples) // stacked
    return float(frames) * project.in_features * config.hidden_size + encoder_macs(frames, config)
