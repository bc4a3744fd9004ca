"""Attention by plain products gives what torch's kernel gives, and stands where it pays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from greenbench.cards import resolve
from greenbench.models.attention import attend
from greenbench.models.layers import AttentionBlock
from greenbench.models.registry import build
from greenbench.train.convolutions import correct_convolutions


def _inputs(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def _counted(call: Callable[[], object]) -> bool:
    """Return whether torch's counter sees products: it knows ``bmm``, not the CPU's fused kernel."""
    with FlopCounterMode(display=False) as counter:
        call()
    return any("bmm" in str(op) for ops in counter.get_flop_counts().values() for op in ops)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 70),
    st.sampled_from([8, 24, 48]),
    st.integers(0, 9),
    st.sampled_from([None, 0.3]),
)
def test_plain_products_give_the_fused_kernels_values_and_gradients(
    b: int, h: int, t: int, d: int, seed: int, scale: float | None
) -> None:
    low = _inputs((b, h, t, d), torch.bfloat16, seed)
    exact = [x.detach().float().requires_grad_() for x in low]
    found, expected = (
        attend(*low, scale=scale),
        F.scaled_dot_product_attention(exact[0], exact[1], exact[2], scale=scale),
    )
    torch.testing.assert_close(found.float(), expected, atol=0.04, rtol=0.04)
    found.float().square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(low, exact, strict=True):
        torch.testing.assert_close(
            one.grad.float(), other.grad, atol=0.06 * float(other.grad.abs().max()) + 1e-3, rtol=0
        )


def test_bfloat16_on_the_cpu_takes_plain_products_and_float32_the_fused_kernel() -> None:
    assert _counted(lambda: attend(*_inputs((1, 2, 20, 8), torch.bfloat16, 0)))
    assert not _counted(lambda: attend(*_inputs((1, 2, 20, 8), torch.float32, 0)))


def test_a_restriction_to_one_kernel_is_obeyed() -> None:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert not _counted(lambda: attend(*_inputs((1, 2, 20, 8), torch.bfloat16, 0)))


def test_crops_beyond_the_limit_keep_no_score_matrix() -> None:
    assert not _counted(lambda: attend(*_inputs((1, 1, 1025, 8), torch.bfloat16, 0)))


def test_dropout_drops_weights() -> None:
    torch.manual_seed(0)
    inputs = _inputs((1, 1, 400, 8), torch.bfloat16, 0)
    dropped = torch.stack([attend(*inputs, dropout=0.5).float() for _ in range(40)])
    kept = attend(*inputs).float()
    assert dropped.std(0).mean() > 0.01
    torch.testing.assert_close(dropped.mean(0), kept, atol=0.2, rtol=0)


@pytest.mark.parametrize("name", ["melhubert", "hubert", "essl", "data2vec"])
def test_a_transformers_encoder_attends_alike(name: str) -> None:
    torch.manual_seed(0)
    model = build(resolve(name, "tiny")).eval()
    correct_convolutions(model, torch.device("cpu"), "bfloat16")
    encoder = next(m for m in model.modules() if hasattr(m, "pos_conv_embed"))
    hidden = torch.randn(2, 30, encoder.config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = encoder(hidden)[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert _counted(lambda: encoder(hidden))
            found = encoder(hidden)[0].float()
    assert F.cosine_similarity(found.flatten(0, 1), expected.flatten(0, 1)).min() > 0.99


def test_our_attention_block_attends_alike() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(32, heads=2).eval()
    frames = torch.randn(2, 40, 32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(frames)
    assert F.cosine_similarity(found.float().flatten(0, 1), block(frames).flatten(0, 1)).min() > 0.99
