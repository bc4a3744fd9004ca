"""What one attention costs on this CPU: torch's fused kernel against plain products (``greenbench.models.attention``).

    python benchmarks/attention.py

Forward and backward, one thread, CPU time, variants interleaved; median of the rounds with the middle half.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from greenbench.models.attention import attend

SHAPES = ((4, 4, 100, 48), (4, 4, 200, 48), (1, 12, 500, 64), (1, 12, 1000, 64))
ROUNDS, CALLS = 9, 4


def restricted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by torch's composed kernel."""
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(query, key, value)


def milliseconds(function: Callable[..., Tensor], inputs: list[Tensor]) -> float:
    """Return CPU time of one forward and backward pass."""
    start = time.process_time()
    for _ in range(CALLS):
        function(*inputs).sum().backward()
    return (time.process_time() - start) / CALLS * 1e3


def main() -> None:
    """Print a row per shape and number format."""
    torch.set_num_threads(1)
    variants = {"fused": F.scaled_dot_product_attention, "math": restricted, "attend": attend}
    print(f"{'shape (B, H, T, D)':22s}{'dtype':10s}" + "".join(f"{name + ' ms':>24s}" for name in variants))
    for dtype in (torch.bfloat16, torch.float32):
        for shape in SHAPES:
            inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]
            times: dict[str, list[float]] = {name: [] for name in variants}
            for number in range(ROUNDS + 1):
                for name, function in variants.items():
                    found = milliseconds(function, inputs)
                    if number:
                        times[name].append(found)
            cells = []
            for found in times.values():
                low, middle, high = statistics.quantiles(found, n=4)
                cells.append(f"{middle:.2f} [{low:.2f}, {high:.2f}]")
            print(f"{shape!s:22s}{str(dtype)[6:]:10s}" + "".join(f"{cell:>24s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
