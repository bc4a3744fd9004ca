"""Device and number format: what ``auto`` means on this machine, and the autocast that goes with it."""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from greenbench.errors import DeviceError, is_out_of_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SDPA = {
    "math": [SDPBackend.MATH],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "flash": [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH],
}


def pick_device(name: str) -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …

    Raises :class:`DeviceError` for an unknown or absent one.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"[train] device = {name!r} is not a torch device; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(f"[train] device = {name!r}: {_why_not_there(count)}")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("[train] device = 'mps': this machine, or this torch, has no Metal device; use auto or cpu")
    elif device.type not in ("cpu", "mps"):
        raise DeviceError(f"[train] device = {name!r} is not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


def _why_not_there(count: int) -> str:
    there = f"this machine shows {count} CUDA device(s)"
    if count:
        return f"{there}, the last is cuda:{count - 1}; use that, auto or cpu"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{there}, and torch {torch.__version__} is built without CUDA; use cpu, or install torch for your card"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return f"{there}: CUDA_VISIBLE_DEVICES is {hidden!r}; unset it, or use cpu"
    return f"{there}; look at nvidia-smi (torch {torch.__version__} needs a driver for its CUDA), or use auto or cpu"


def pick_dtype(name: str, device: torch.device) -> str:
    """The number format of the forward pass; ``auto`` is bfloat16 where the hardware multiplies in it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device.type == "cpu" and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has bfloat16 dot products (AVX-512 BF16 or AMX), the condition under which they pay."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def check_dtype(dtype: str, device: torch.device) -> None:
    """Raise :class:`DeviceError` where ``device`` does not multiply in ``dtype``, or this torch not on ``device``."""
    if device.type == "cuda" and dtype == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise DeviceError(
            f"[train] dtype = 'bfloat16': {torch.cuda.get_device_name(device)} has no bfloat16 units; use float16, "
            "float32 or auto"
        )
    try:
        ones = torch.ones(8, 8, device=device, dtype=DTYPES[dtype])
        (ones @ ones).sum().item()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        words = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DeviceError(
            f"[train] dtype = {dtype!r}: torch {torch.__version__} does not multiply so on {device} ({words}); use "
            "another dtype, or a torch that is built for this device"
        ) from error


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    """The autocast context of a number format; float32 needs none."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[dtype])


def check_attention(name: str, device: torch.device, dtype: str) -> None:
    """Raise :class:`DeviceError` where ``device`` has no such kernel for attention without a mask in ``dtype``."""
    if name in ("auto", "math"):
        return
    probe = torch.zeros(1, 1, 8, 32, device=device, dtype=DTYPES[dtype])
    try:
        with sdpa_kernel(_SDPA[name][:1]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.nn.functional.scaled_dot_product_attention(probe, probe, probe)
    except RuntimeError as error:
        raise DeviceError(
            f"[train] sdpa = {name!r}: no such attention kernel for {dtype} on {device}; use auto or math"
            + (", or dtype = bfloat16" if dtype == "float32" and device.type == "cuda" else "")
        ) from error


def attention_backend(name: str) -> AbstractContextManager[object]:
    """The context that restricts SDPA to a backend (``auto`` lets torch choose).

    A call that the backend cannot serve, such as one with a position bias in flash attention, falls back to plain math.
    """
    return nullcontext() if name == "auto" else sdpa_kernel(_SDPA[name])
