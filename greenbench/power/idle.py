"""Idle power before a trial: the machine as it is, and the cards with an empty CUDA context.

Baselines are reported beside a total and never subtracted from it. Creating a context alone raises a card's power
(8.7 W per A100 in llenergymeasure's measurements), so a trial that computes nothing would still cost that.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from greenbench.power.sampler_process import SamplerProcess

_READY_S = 20.0
# Runs in a process of its own and needs no torch: the driver's C interface is enough for an empty context.
_HOLD_CONTEXTS = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
count = ctypes.c_int()
if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
    sys.exit("the CUDA driver lists no device")
for index in range(count.value):
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        sys.exit(f"no context on CUDA device {index}")
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Baseline:
    """Monotonic edges of the two idle stretches; cut them out of the journal with ``idle_powers``.

    ``context_begin_ns .. context_end_ns`` are None where no CUDA context could be made; ``reason`` says why.
    """

    begin_ns: int
    end_ns: int
    context_begin_ns: int | None = None
    context_end_ns: int | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)


@contextlib.contextmanager
def cuda_contexts() -> Iterator[str | None]:
    """Hold an empty context on every CUDA device this environment shows; yields None, or why there is none."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_CONTEXTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], _READY_S)
            if readable and process.stdout.readline().strip() == "ready":
                yield None
            else:
                process.kill()
                text = process.stderr.read().strip() if process.stderr else ""
                yield text.splitlines()[-1] if text else "the CUDA driver did not answer"
        finally:
            process.kill()


def record_baseline(sampler: SamplerProcess, duration_s: float = 5.0, *, context: bool = True) -> Baseline:
    """Let a running sampler record ``duration_s`` of idleness, and again with empty CUDA contexts if there is a GPU.

    Call it before the trial is watched. The figures come from the journal: ``idle_powers``.
    """
    sampler.mark("idle")
    begin, end = _stretch(sampler, duration_s)
    gpu = any(d["part"] == "gpu" for s in sampler.ready.get("sources", []) for d in s["devices"])
    if not (context and gpu):
        return Baseline(begin, end, reason="no GPU is recorded" if not gpu else "not asked for")
    with cuda_contexts() as trouble:
        if trouble is not None:
            return Baseline(begin, end, reason=trouble)
        sampler.mark("idle with CUDA context")
        context_begin, context_end = _stretch(sampler, duration_s)
    return Baseline(begin, end, context_begin, context_end)


def _stretch(sampler: SamplerProcess, duration_s: float) -> tuple[int, int]:
    begin = time.monotonic_ns()
    sampler.edge()
    time.sleep(duration_s)
    end = time.monotonic_ns()
    sampler.edge()
    sampler.flush()
    return begin, end


def idle_powers(trace: Any, baseline: Baseline) -> dict[str, float | None]:
    """Mean watts of both stretches: ``{"idle_power_w", "idle_context_power_w"}``; None where not recorded."""
    plain = trace.window(baseline.begin_ns, baseline.end_ns).mean_power_w
    held = None
    if baseline.context_begin_ns is not None and baseline.context_end_ns is not None:
        held = trace.window(baseline.context_begin_ns, baseline.context_end_ns).mean_power_w
    return {"idle_power_w": plain, "idle_context_power_w": held}
