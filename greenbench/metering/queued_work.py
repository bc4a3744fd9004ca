"""Wait for what a program has queued on its GPU, where it uses torch; this never imports torch itself."""

from __future__ import annotations

import sys


def finish_queued_work() -> str | None:
    """Wait for CUDA's queue if torch is loaded and has started CUDA; return why that failed, else None.

    Nothing happens where torch is absent or its CUDA unused (that would start it, and its context draws power), nor
    while a CUDA graph is captured, which waiting would break. An error of an earlier kernel shows here first; torch
    raises it again at the program's own next call, so it is not raised in its place.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized() or cuda.is_current_stream_capturing():
            return None
        cuda.synchronize()
    except Exception as error:
        return f"torch.cuda.synchronize failed at an edge: {type(error).__name__}: {error}"
    return None
