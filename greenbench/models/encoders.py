"""Shapes of the encoders that are built from ``transformers``: the group of options ``[architecture.encoder]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import HubertConfig

from greenbench.models.library_attention import implementation


@dataclass(frozen=True)
class TransformerShape:
    """Layers behind a convolution for positions, of ``conv_pos_kernel`` frames in ``conv_pos_groups`` groups."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    feed_forward: int = 3072
    conv_pos_kernel: int = 128
    conv_pos_groups: int = 16
    dropout: float = 0.1

    def hubert_config(self, *, layerdrop: float = 0.0) -> HubertConfig:
        """Build the configuration of ``HubertEncoder`` alone, without its convolutional front end."""
        options: dict[str, Any] = {"attn_implementation": implementation()}
        return HubertConfig(
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.feed_forward,
            hidden_dropout=self.dropout,
            attention_dropout=self.dropout,
            activation_dropout=self.dropout,
            layerdrop=layerdrop,
            num_conv_pos_embeddings=self.conv_pos_kernel,
            num_conv_pos_embedding_groups=self.conv_pos_groups,
            **options,
        )


@dataclass(frozen=True)
class WaveformShape(TransformerShape):
    """A front end of seven convolutions of ``conv_channels``, then a Transformer: the wav2vec 2.0 kind.

    The large published sizes normalise each convolution (``feat_extract_norm = "layer"``) and put layer norms before
    the sublayers (``stable_layer_norm``).
    """

    conv_channels: int = 512
    feat_extract_norm: str = "group"
    stable_layer_norm: bool = False
    layerdrop: float = 0.05

    def config(self, kind: Callable[..., Any], **more: Any) -> Any:
        """Build a configuration of the wav2vec 2.0 kind; ``more`` are keys of ``transformers`` and win."""
        options: dict[str, Any] = {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feed_forward,
            "conv_dim": (self.conv_channels,) * 7,
            "feat_extract_norm": self.feat_extract_norm,
            "conv_bias": self.stable_layer_norm,
            "do_stable_layer_norm": self.stable_layer_norm,
            "hidden_dropout": self.dropout,
            "attention_dropout": self.dropout,
            "activation_dropout": 0.0,
            "feat_proj_dropout": self.dropout,
            "final_dropout": 0.0,
            "layerdrop": self.layerdrop,
            "num_conv_pos_embeddings": self.conv_pos_kernel,
            "num_conv_pos_embedding_groups": self.conv_pos_groups,
            "mask_time_prob": 0.05,
            "mask_feature_prob": 0.0,
            "attn_implementation": implementation(),
        }
        return kind(**{**options, **more})
