"""Self-attention by the fastest kernel of the device, for our own blocks and for those of ``transformers``.

torch's fused kernel for the CPU does not use the bfloat16 matrix unit: for crops of seconds two plain products and a
softmax take a third to a sixth of its time (``benchmarks/attention.py``). Everywhere else the fused kernels are right.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_LONGEST_PLAIN = 1024
"""Frames up to which the score matrix is kept: beyond it memory grows with the square and the gain is gone."""
_NAME = "greenbench"


def attend(query: Tensor, key: Tensor, value: Tensor, *, dropout: float = 0.0, scale: float | None = None) -> Tensor:
    """Return softmax(query key' scale) value without a mask, (B, H, T, D) each; ``scale`` is 1 / sqrt(D) by default."""
    if not _plain(query):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scale)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    # Autocast gives the softmax in float32; it must come back before the product.
    weights = scores.softmax(dim=-1).to(value.dtype)
    return (F.dropout(weights, dropout) if dropout else weights) @ value


def _plain(query: Tensor) -> bool:
    """Return whether plain products are faster here, unless somebody restricted the kernels."""
    if query.device.type != "cpu" or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    unrestricted = torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.math_sdp_enabled()
    return unrestricted and query.shape[-2] <= _LONGEST_PLAIN


def use_attend(config: Any) -> None:
    """Let a ``transformers`` encoder built from ``config`` attend by :func:`attend`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def forward(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        if attention_mask is not None or not _plain(query):
            return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        attended = attend(query, key, value, dropout=options.get("dropout", 0.0), scale=options.get("scaling"))
        return attended.transpose(1, 2).contiguous(), None

    AttentionInterface.register(_NAME, forward)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    config._attn_implementation = _NAME
