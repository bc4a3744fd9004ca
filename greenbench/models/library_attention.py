"""Our choice of attention kernels offered to the encoders of ``transformers`` under a name."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from greenbench.models.attention import attend, prefers_plain

_NAME = "greenbench"


@cache
def implementation() -> str:
    """Register :func:`attend` with ``transformers``; return its name for a configuration's ``attn_implementation``."""
    AttentionInterface.register(_NAME, _forward)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    return _NAME


def _forward(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    if attention_mask is not None or not prefers_plain(query):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    attended = attend(query, key, value, dropout=options.get("dropout", 0.0), scale=options.get("scaling"))
    return attended.transpose(1, 2).contiguous(), None
