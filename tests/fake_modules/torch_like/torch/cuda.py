"""CUDA as the meter meets it: started or not, capturing a graph or not, healthy or not."""

from types import SimpleNamespace

STATE = SimpleNamespace(initialised=False, capturing=False, broken=False, calls=[])


def is_initialized() -> bool:
    return STATE.initialised


def is_current_stream_capturing() -> bool:
    return STATE.capturing


def synchronize() -> None:
    if STATE.broken:
        raise RuntimeError("CUDA error: device-side assert triggered")
    STATE.calls.append("synchronize")
