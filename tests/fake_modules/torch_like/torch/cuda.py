"""CUDA as the meter meets it: started or not, capturing a graph or not, healthy or not."""

from types import SimpleNamespace

STATE = SimpleNamespace(initialised=False, capturing=False, broken=False, calls=[])


def is_initialized():
    return STATE.initialised


def is_current_stream_capturing():
    return STATE.capturing


def synchronize():
    if STATE.broken:
        raise RuntimeError("CUDA error: device-side assert triggered")
    STATE.calls.append("synchronize")
