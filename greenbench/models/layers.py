"""Building blocks of our own encoders: pre-norm convolution and attention blocks on (B, T, D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.models.attention import attend
from greenbench.models.convolution import depthwise
from greenbench.models.macs import attention_macs, feed_forward_macs, grouped_conv_macs


class ConvBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron per frame, added to the input.

    Linear and convolutional mixing for 2 D^2 m multiplications a frame, against (4 + 2 m) D^2 plus scores of an
    attention block with the same perceptron.
    """

    def __init__(self, width: int, *, kernel: int, expansion: float = 4.0, scale: float = 1.0) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        with torch.no_grad():
            self.contract.weight.mul_(scale)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, D)."""
        mixed = depthwise(frames, self.depthwise)
        return frames + self.contract(F.gelu(self.expand(self.norm(mixed))))


class AttentionBlock(nn.Module):
    """Pre-norm self-attention with rotary positions (arXiv 2104.09864), then a two-layer perceptron."""

    def __init__(self, width: int, *, heads: int, expansion: float = 4.0, scale: float = 1.0) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise ValueError(f"width {width} must be a multiple of 2 x heads ({heads})")
        hidden = int(width * expansion)
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        with torch.no_grad():
            self.out.weight.mul_(scale)
            self.contract.weight.mul_(scale)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, D)."""
        batch, length, width = frames.shape
        packed = self.query_key_value(self.norm_attention(frames))
        query, key, value = packed.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key = rotate(query), rotate(key)
        attended = attend(query, key, value)
        frames = frames + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return frames + self.contract(F.gelu(self.expand(self.norm_feed_forward(frames))))


def block_macs(block: nn.Module, frames: int) -> float:
    """The multiply-accumulates of one block over so many frames, by formula."""
    if isinstance(block, ConvBlock):
        width, kernel = block.depthwise.in_channels, block.depthwise.kernel_size[0]
        return grouped_conv_macs(frames, width, kernel, width) + feed_forward_macs(
            frames, width, block.expand.out_features
        )
    if isinstance(block, AttentionBlock):
        width = block.out.in_features
        return attention_macs(frames, width) + feed_forward_macs(frames, width, block.expand.out_features)
    raise TypeError(f"no formula for {type(block).__name__}")


def rotate(x: Tensor) -> Tensor:
    """Rotate pairs of channels of (…, T, D) by position; the dot product then depends on distance only."""
    length, width = x.shape[-2:]
    half = width // 2
    frequency = 1000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(length, device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def build_trunk(pattern: str, width: int, *, heads: int, kernel: int, expansion: float) -> nn.ModuleList:
    """Build blocks from a pattern of ``c`` (convolution) and ``a`` (attention), each scaled down by the depth."""
    if not pattern or set(pattern) - {"a", "c"}:
        raise ValueError(f"pattern = {pattern!r} must be made of 'a' (attention) and 'c' (convolution)")
    scale = (2 * len(pattern)) ** -0.5
    return nn.ModuleList(
        AttentionBlock(width, heads=heads, expansion=expansion, scale=scale)
        if kind == "a"
        else ConvBlock(width, kernel=kernel, expansion=expansion, scale=scale)
        for kind in pattern
    )
