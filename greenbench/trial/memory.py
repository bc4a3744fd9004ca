"""The peak of this process' resident memory, over a part of its life."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

import torch

from greenbench.metering.resident import resident_bytes


def peak_memory_bytes(device: torch.device) -> int:
    """The peak of training's memory: what was allocated on a card, else this process' resident memory, in bytes."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_rss_bytes()


def peak_rss_bytes() -> int:
    """The peak resident memory since the last :func:`reset_peak_rss`, in bytes."""
    peak = resident_bytes("VmHWM")
    if peak is not None:
        return peak
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak_rss() -> None:
    """Start the peak of resident memory anew (Linux; elsewhere the peak is that of the whole process).

    What target making freed is given back to the system first, or it would count as the training's.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
