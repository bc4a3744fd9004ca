"""Loads of a known shape: the card's energy counter against integrated power, at full, half and changing load."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu_meter import load
from benchmarks.gpu_parts.recorder import Options


def metered_load(options: Options, name: str) -> dict[str, Any]:
    """Meter one of the loads; the raw readings lie in ``journals/``."""
    (options.out / "journals").mkdir(exist_ok=True)
    found = load(
        options.out / "journals",
        name,
        options.seconds,
        device=options.device,
        sources="nvml" if options.on_gpu else "auto",
        settle_s=0.2 if options.quick else 2.0,
    )
    if found is None:
        return {"error": f"torch put no load on {options.device}"}
    ratios = {d["name"]: d["ratio"] for d in found["devices"] if d["ratio"] is not None}
    return {"load": name, "counter_over_integral": ratios or "no device has both a counter and power", **found}
