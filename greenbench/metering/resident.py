"""Resident memory of a process as the kernel reports it."""

from __future__ import annotations

from pathlib import Path


def resident_bytes(key: str, pid: int | str = "self") -> int | None:
    """``VmHWM`` (the peak) or ``VmRSS`` (now) of a process; None where ``/proc`` does not tell."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
