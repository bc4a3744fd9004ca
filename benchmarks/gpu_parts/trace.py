"""A short trace of a training step: how long the card is busy, what is launched, copied and takes longest."""

from __future__ import annotations

import gzip
import shutil
import time
from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_parts.recorder import Options
from benchmarks.gpu_parts.training import Training, training, wait_for

STEPS = 3


def trace(options: Options, name: str) -> dict[str, Any]:
    """Time some steps, then trace others: the profiler makes the host slower, not the kernels."""
    run = training(
        name,
        size=options.size,
        device=options.device,
        dtype=options.dtype,
        batch_s=options.batch_s,
        crop_s=options.crop_s,
        folder=options.out / "work" / f"trace-{name}",
    )
    many = 2 if options.quick else 10
    _steps(run, options.device, many)
    wall_s = _steps(run, options.device, many) / many
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if options.on_gpu else [])]
    with profile(activities=activities) as profiler:
        _steps(run, options.device, STEPS)
    found: dict[str, Any] = {"model": name, "step_ms": 1e3 * wall_s, **_operators(profiler)}
    if options.on_gpu:
        found |= _kernels(profiler, wall_s)
        _keep(profiler, options, name)
    return found


def _steps(run: Training, device: str, number: int) -> float:
    wait_for(device)
    began = time.perf_counter()
    for _ in range(number):
        run.step_once()
    wait_for(device)
    return time.perf_counter() - began


def _operators(profiler: Any) -> dict[str, Any]:
    rows = [row for row in profiler.key_averages() if row.key.startswith("aten::")]
    longest = sorted(rows, key=lambda row: -row.self_cpu_time_total)[:12]
    return {
        "operators_a_step": round(sum(row.count for row in rows) / STEPS),
        "top_operators_host_ms": {row.key: round(row.self_cpu_time_total / STEPS / 1e3, 3) for row in longest},
    }


def _kernels(profiler: Any, wall_s: float) -> dict[str, Any]:
    events = list(profiler.events())
    on_card = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    calls = Counter(e.name for e in events if e.name.startswith(("cudaLaunch", "cuLaunch", "cudaGraphLaunch")))
    took_us: Counter[str] = Counter()
    for event in on_card:
        took_us[event.name] += event.time_range.elapsed_us()
    copies = Counter(e.name for e in on_card if e.name.startswith("Memcpy"))
    return {
        "busy_share": _union_us([(e.time_range.start, e.time_range.end) for e in on_card]) * 1e-6 / STEPS / wall_s,
        "launches_a_step": round(sum(calls.values()) / STEPS),
        "copies_a_step": {kind: number / STEPS for kind, number in copies.items()},
        "top_kernels_ms": {kernel[:90]: round(us / STEPS / 1e3, 3) for kernel, us in took_us.most_common(15)},
    }


def _union_us(spans: list[tuple[float, float]]) -> float:
    covered, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


def _keep(profiler: Any, options: Options, name: str) -> None:
    path = options.out / f"trace-{name}.json"
    profiler.export_chrome_trace(str(path))
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    path.unlink()
