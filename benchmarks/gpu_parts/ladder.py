"""The ladder: a model's training step with one switch more, metered, beside a matrix product before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from benchmarks.gpu_parts.recorder import Options
from benchmarks.gpu_parts.training import Training, training, wait_for
from greenbench.metering.command_result import measured_device
from greenbench.metering.meter import Meter
from greenbench.plan.forecast import measure_matmul
from greenbench.trial.memory import peak_memory_bytes, reset_peak_rss
from greenbench.units import SECONDS_PER_HOUR

MODELS = ("eco", "melhubert", "hubert")
SHAPES: dict[str, Mapping[str, Any]] = {
    "512x7": {"encoder": {"width": 512, "pattern": "cacacac", "heads": 8}},
    "640x5": {"encoder": {"width": 640, "pattern": "cacac", "heads": 10}},
    "384x13-10Hz": {"encoder": {"trunk_hz": 10}},
}


@dataclass(frozen=True)
class Rung:
    """A setting of the ladder. ``how`` is eager, compiled (the switch ``compile``) or graphs (CUDA graphs as well)."""

    model: str
    how: str = "eager"
    label: str = ""
    dtype: str = ""
    batches: float = 1.0
    """How many times the record's batch."""
    architecture: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The part's name."""
        return "-".join(["ladder", self.model, self.label or self.how])


def rungs(options: Options) -> Iterator[Rung]:
    """All settings, those first that matter most; a quick record has one of each kind."""
    few = 1 if options.quick else 3
    yield from (Rung(model) for model in MODELS)
    yield from (Rung(model, "compiled") for model in MODELS[:few])
    if options.on_gpu:
        yield from (Rung(model, "graphs") for model in MODELS)
    best = "eager" if options.quick else "compiled"
    yield from (Rung(model, best, f"{best}-large-batch", batches=4.0) for model in MODELS[:few])
    for shape, architecture in list(SHAPES.items())[:few]:
        yield Rung("eco", best, f"{best}-{shape}", architecture=architecture)
    if options.on_gpu:
        yield from (Rung(model, "eager", "eager-float32", dtype="float32") for model in MODELS)


def prepare(options: Options, rung: Rung) -> dict[str, Any]:
    """Compile a setting once, so that its kernels lie in the compiler's cache when it is measured."""
    run = _training(options, rung, "prepared")
    began = time.monotonic()
    for _ in range(2):
        run.step_once()
    wait_for(options.device)
    return {"compiled_s": time.monotonic() - began}


def measure(options: Options, rung: Rung) -> dict[str, Any]:
    """Warm up, then train for some metered seconds under the package's own ledger."""
    began = time.monotonic()
    run = _training(options, rung, "measured")
    run.run_under(steps=2 if options.quick else 8)
    wait_for(options.device)
    warm_s = time.monotonic() - began
    _forget_peak(options)
    product = {"device": options.device, "dtype": run.dtype, "seconds": 0.05 if options.quick else 0.3}
    product["size"] = 8192 if options.on_gpu else 512
    before = measure_matmul(**product)
    audio_s, steps = run.state.audio_s, run.state.step
    journal = options.out / "journals" / f"{rung.name}.csv.gz"
    journal.parent.mkdir(exist_ok=True)
    with Meter(journal=journal, synchronize=lambda: wait_for(options.device)) as meter:
        began_s = time.perf_counter()
        run.run_under(seconds=options.seconds)
        wait_for(options.device)
        took_s = time.perf_counter() - began_s
    after = measure_matmul(**product)
    audio_s, steps = run.state.audio_s - audio_s, run.state.step - steps
    flops_per_s = (run.ledger.spent()["flops"] or 0.0) / took_s
    found = {
        **_setting(options, rung, run),
        "steps": steps,
        "measured_s": took_s,
        "warm_up_s": warm_s,
        "audio_h_per_h": audio_s / took_s,
        "flops_per_s": flops_per_s,
        "matmul_flops_per_s": [before, after],
        "utilisation": 2 * flops_per_s / (before + after),
        "peak_memory_bytes": peak_memory_bytes(run.device),
        **_energy(meter, audio_s / SECONDS_PER_HOUR),
    }
    joules = f"{found['joules_per_audio_h']:.4g} J an audio hour" if "joules_per_audio_h" in found else found["energy"]
    speed = f"{found['audio_h_per_h']:,.0f} audio h per h, {100 * found['utilisation']:.1f} % of a matrix product"
    return {"line": f"{speed}, {joules}", **found}


def _training(options: Options, rung: Rung, place: str) -> Training:
    run = training(
        rung.model,
        size=options.size,
        device=options.device,
        dtype=rung.dtype or options.dtype,
        batch_s=rung.batches * options.batch_s,
        crop_s=options.crop_s,
        folder=options.out / "work" / f"{place}-{rung.name}",
        architecture=rung.architecture,
        compile=rung.how == "compiled" and not options.quick,
    )
    if rung.how == "graphs":
        run.compile_with(mode="reduce-overhead", fullgraph=run.model.one_graph)
    elif rung.how == "compiled" and options.quick:
        run.compile_with(backend="aot_eager")
    return run


def _setting(options: Options, rung: Rung, run: Training) -> dict[str, Any]:
    crops, samples = run.loader.peek()
    return {
        "model": rung.model,
        "setting": rung.label or rung.how,
        "size": options.size,
        "dtype": run.dtype,
        "params_m": sum(p.numel() for p in run.model.parameters()) / 1e6,
        "batch_audio_s": crops * samples / 16_000,
        "crop_s": options.crop_s,
        "mflops_per_audio_s": run.flops_of_batch(crops, samples) / (crops * samples / 16_000) / 1e6,
    }


def _energy(meter: Meter, audio_h: float) -> dict[str, Any]:
    energy = meter.energy
    if energy is None or energy.energy_j is None:
        return {"energy": "no power source", "meter_warnings": meter.warnings}
    return {
        "energy_j": energy.energy_j,
        "energy_kind": energy.kind,
        "energy_uncertainty_j": energy.uncertainty_j,
        "mean_power_w": energy.mean_power_w,
        "joules_per_audio_h": energy.energy_j / audio_h,
        "devices": [asdict(measured_device(device)) for device in energy.devices],
        "meter_warnings": meter.warnings,
    }


def _forget_peak(options: Options) -> None:
    reset_peak_rss()
    if options.on_gpu:
        torch.cuda.reset_peak_memory_stats(options.device)
