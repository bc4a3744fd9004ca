"""Stand-ins on the meta device for operators that fused kernels run: the same products and saved tensors, no loop.

Without them attention would save its scores, which no fused kernel does, and a recurrent layer would unroll into
tens of operators for every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from greenbench.cost.formulas import operator

_FUSED_ATTENTION = operator("_scaled_dot_product_flash_attention_for_cpu")
_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


class FusedOperators(TorchFunctionMode):
    """Replace attention and recurrent layers on the meta device; everything else passes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        virtual = bool(args) and isinstance(args[0], Tensor) and args[0].is_meta
        if virtual and func is F.scaled_dot_product_attention and _fusible(*args, **kwargs):
            return _attention(*args, **kwargs)
        # A packed sequence gives its batch sizes, a tensor, where a padded one gives its initial state.
        gates = _GATES.get(getattr(func, "__name__", ""))
        if virtual and gates and len(args) == 9 and isinstance(args[2], (list, tuple)):
            return _recurrent(*args, gates=gates)
        return func(*args, **kwargs)


def _fusible(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **kwargs: Any
) -> bool:
    """Whether a kernel without gradient of the mask can do it."""
    learned_mask = attn_mask is not None and attn_mask.requires_grad
    return not learned_mask and not kwargs.get("enable_gqa") and query.dim() == key.dim() == value.dim() == 4


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    *causal: bool,
    is_causal: bool = False,
    scale: float | None = None,
    **_: bool,
) -> Tensor:
    """Attend by the fused kernel; torch's function takes ``is_causal`` by place or by name."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
    return _FUSED_ATTENTION(query, key, value, dropout_p, any((is_causal, *causal)), attn_mask=attn_mask, scale=scale)[
        0
    ]


def _recurrent(source: Tensor, state: Any, weights: Sequence[Tensor], *options: Any, gates: int) -> tuple[Tensor, ...]:
    """Multiply all frames at once: input and hidden products of every frame, as many as the loop over time does.

    ``options`` are torch's: has_biases, layers, dropout, train, bidirectional, batch_first.
    """
    has_biases, layers, _, _, bidirectional, _ = options
    group = 4 if has_biases else 2
    directions = 2 if bidirectional else 1
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            first = (layer * directions + direction) * group
            to_gates, hidden_to_gates = weights[first], weights[first + 1]
            width = hidden_to_gates.shape[1]
            gate = F.linear(source, to_gates)
            gate = gate + F.linear(gate[..., :width], hidden_to_gates)
            if has_biases:
                gate = gate + weights[first + 2] + weights[first + 3]
            outputs.append(gate.sigmoid().unflatten(-1, (gates, -1)).sum(dim=-2))
        source = torch.cat(outputs, dim=-1)
    states = state if isinstance(state, (list, tuple)) else (state,)
    return (source, *states)
