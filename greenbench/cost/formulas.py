"""FLOPs of single operators: torch's own formulas, with those corrected or added that it gets wrong or leaves out.

What differs from ``torch.utils.flop_counter`` and why:

- the backward of a grouped convolution is two times its forward (torch 2.13 counts groups times too much);
- scaled dot-product attention on the CPU is counted (torch skips it); its backward is two times its forward on every
  device: the recomputation inside fused kernels is a property of the kernel, not of the model;
- FFTs count 5 N log2 N per complex and half of that per real transform of N points, the field's convention (FFTW);
- fused recurrent layers (oneDNN, cuDNN) count their matrix products; matrix-vector products and distances count too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

Formula = Callable[..., float]

aten = torch.ops.aten


def operator(name: str) -> Any:
    """Look up an operator of torch by its name."""
    return getattr(aten, name)


def attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> float:
    """The FLOPs of both matrix products, shapes (B, H, S, D), (B, H, L, D), (B, H, L, E)."""
    batch, heads, length, width = query
    return 2.0 * batch * heads * length * key[-2] * (width + value[-1])


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> float:
    return attention_flops(query.shape, key.shape, value.shape)


def _attention_backward(_: Tensor, query: Tensor, key: Tensor, value: Tensor, *__: Any, **___: Any) -> float:
    return 2.0 * attention_flops(query.shape, key.shape, value.shape)


def _convolution_backward(
    grad_output: Tensor,
    source: Tensor,
    weight: Tensor,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: Any,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> float:
    positions = source if transposed else grad_output
    forward = 2.0 * positions.shape[0] * math.prod(positions.shape[2:]) * weight.numel()
    return forward * (int(output_mask[0]) + int(output_mask[1]))


def _points(tensor: Tensor, dims: Sequence[int]) -> int:
    return math.prod(tensor.shape[d] for d in dims)


def _fft_complex(source: Tensor, dims: Sequence[int], *_: Any, **__: Any) -> float:
    return 5.0 * source.numel() * math.log2(max(2, _points(source, dims)))


def _fft_real(source: Tensor, dims: Sequence[int], *_: Any, **__: Any) -> float:
    return 0.5 * _fft_complex(source, dims)


def _fft_to_real(_: Tensor, dims: Sequence[int], *__: Any, out_val: Tensor, **___: Any) -> float:
    return 0.5 * _fft_complex(out_val, dims)


def _onednn_rnn(source: Tensor, weight_input: Tensor, weight_hidden: Tensor, *_: Any, **__: Any) -> float:
    steps = source.shape[0] * source.shape[1]
    return 2.0 * steps * (weight_input.numel() + weight_hidden.numel())


def _cudnn_rnn(source: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> float:
    steps = source.shape[0] * source.shape[1]
    return 2.0 * steps * sum(w.numel() for w in weights if w.dim() == 2)


def _twice(formula: Formula) -> Formula:
    return lambda *args, **kwargs: 2.0 * formula(*args, **kwargs)


def _matrix_vector(matrix: Tensor, *_: Any, **__: Any) -> float:
    return 2.0 * matrix.numel()


def _added_matrix_vector(_: Tensor, matrix: Tensor, *__: Any, **___: Any) -> float:
    return 2.0 * matrix.numel()


def _added_matrix_product(_: Tensor, left: Tensor, right: Tensor, *__: Any, **___: Any) -> float:
    return 2.0 * left.numel() * right.shape[-1]


def _distances(left: Tensor, right: Tensor, *_: Any, **__: Any) -> float:
    return 3.0 * left.numel() * right.shape[-2]


def _overloads(names: Sequence[str], formula: Formula) -> dict[Any, Formula]:
    """Map the operators this version of torch has; the others cannot occur."""
    return {getattr(aten, name): formula for name in names if hasattr(aten, name)}


@cache
def formulas() -> dict[Any, Formula]:
    """Formula by operator packet; a formula takes the operator's arguments and ``out_val``, its result."""
    table: dict[Any, Formula] = dict(flop_registry)
    attention = [
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
    ]
    table |= _overloads(attention, _attention)
    table |= _overloads([f"{name}_backward" for name in attention], _attention_backward)
    table |= _overloads(["convolution_backward"], _convolution_backward)
    table |= _overloads(["_fft_c2c"], _fft_complex) | _overloads(["_fft_r2c"], _fft_real)
    table |= _overloads(["_fft_c2r"], _fft_to_real)
    table |= _overloads(["mkldnn_rnn_layer"], _onednn_rnn)
    table |= _overloads(["mkldnn_rnn_layer_backward"], _twice(_onednn_rnn))
    table |= _overloads(["_cudnn_rnn"], _cudnn_rnn) | _overloads(["_cudnn_rnn_backward"], _twice(_cudnn_rnn))
    table |= _overloads(["mv", "dot", "vdot"], _matrix_vector) | _overloads(["addmv"], _added_matrix_vector)
    table |= _overloads(["_addmm_activation"], _added_matrix_product)
    return table | _overloads(["_cdist_forward", "_euclidean_dist"], _distances)
