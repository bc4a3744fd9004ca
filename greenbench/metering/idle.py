"""Idle power before a trial: the machine as it is, and the cards with an empty CUDA context.

Baselines are reported beside a total and never subtracted from it. Creating a context alone raises a card's power
(8.7 W per A100 in llenergymeasure's measurements), so a trial that computes nothing would still cost that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.cuda_driver import cuda_contexts

Note = Callable[[str, str], None]


@dataclass(frozen=True)
class Baseline:
    """Monotonic edges of the two idle intervals; cut them out of the journal with ``idle_powers``.

    ``context_begin_ns .. context_end_ns`` are None where no CUDA context could be made; ``reason`` says why.
    """

    begin_ns: int
    end_ns: int
    context_begin_ns: int | None = None
    context_end_ns: int | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def record_baseline(
    sampler: SamplerProcess, duration_s: float = 5.0, *, context: bool = True, note: Note | None = None
) -> Baseline:
    """Let a running sampler record ``duration_s`` of idleness, and again with empty CUDA contexts if there is a GPU.

    Call it before the trial is watched. The figures come from the journal: ``idle_powers``. ``note`` is called at
    the edges: ``("begin" | "end", "idle" | "idle_context")``. Contexts are made on the recorded cards only.
    """
    sampler.mark("idle")
    begin, end = _stretch(sampler, duration_s, "idle", note)
    devices = [d for s in sampler.ready.get("sources", []) for d in s["devices"] if d["part"] == "gpu"]
    if not (context and devices):
        return Baseline(begin, end, reason="not asked for" if devices else "no GPU is recorded")
    # A slice of a card has a UUID of its own, which the environment knows and the card's sensors do not.
    whole = all(d["source"] == "nvml" and not d["shared"] for d in devices)
    with cuda_contexts([d["details"]["uuid"] for d in devices] if whole else None) as trouble:
        if trouble is not None:
            return Baseline(begin, end, reason=trouble)
        sampler.mark("idle with CUDA context")
        context_begin, context_end = _stretch(sampler, duration_s, "idle_context", note)
    return Baseline(begin, end, context_begin, context_end)


def _stretch(sampler: SamplerProcess, duration_s: float, name: str, note: Note | None) -> tuple[int, int]:
    begin = time.monotonic_ns()
    if note:
        note("begin", name)
    sampler.edge()
    time.sleep(duration_s)
    end = time.monotonic_ns()
    if note:
        note("end", name)
    sampler.edge()
    sampler.flush()
    return begin, end


def idle_powers(trace: Any, baseline: Baseline) -> dict[str, float | None]:
    """Mean watts of both intervals: ``{"idle_power_w", "idle_context_power_w"}``; None where not recorded."""
    plain = trace.window(baseline.begin_ns, baseline.end_ns).mean_power_w
    held = None
    if baseline.context_begin_ns is not None and baseline.context_end_ns is not None:
        held = trace.window(baseline.context_begin_ns, baseline.context_end_ns).mean_power_w
    return {"idle_power_w": plain, "idle_context_power_w": held}
