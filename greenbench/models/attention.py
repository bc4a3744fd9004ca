"""Self-attention by the fastest kernel of the device, for our own blocks and, through
:mod:`greenbench.models.library_attention`, for those of ``transformers``.

torch's fused kernel for the CPU does not use the bfloat16 matrix unit: for crops of seconds two plain products and a
softmax take a third to a sixth of its time (``benchmarks/attention.py``). Everywhere else the fused kernels are right.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LONGEST_PLAIN = 1024
"""Frames up to which the score matrix is kept: beyond it memory grows with the square and the gain is gone."""


def attend(query: Tensor, key: Tensor, value: Tensor, *, dropout: float = 0.0, scale: float | None = None) -> Tensor:
    """Softmax(query key' scale) value without a mask, (B, H, T, D) each; ``scale`` is 1 / sqrt(D) by default."""
    if not prefers_plain(query):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scale)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    # Autocast gives the softmax in float32; it must come back before the product.
    weights = scores.softmax(dim=-1).to(value.dtype)
    return (F.dropout(weights, dropout) if dropout else weights) @ value


def prefers_plain(query: Tensor) -> bool:
    """Tell whether plain products are faster here, unless somebody restricted the kernels."""
    if query.device.type != "cpu" or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    unrestricted = torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.math_sdp_enabled()
    return unrestricted and query.shape[-2] <= _LONGEST_PLAIN
