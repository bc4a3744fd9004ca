"""A stand-in for torch where only its CUDA queue matters."""

from torch import cuda

__all__ = ["cuda"]
