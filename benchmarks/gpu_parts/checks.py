"""What must hold on a card: equal draws, no step that waits, compiled as eager, resumed to the bit."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from benchmarks.gpu_parts.recorder import Options
from benchmarks.gpu_parts.training import Training, training
from greenbench.models.draws import Draws, Purpose
from greenbench.models.masking import span_mask

TOLERANCE = 1e-4


def _training(options: Options, name: str, place: str, *, dtype: str = "float32", **settings: Any) -> Training:
    """A training short enough for a check: a batch is a tenth of the ladder's."""
    return training(
        name,
        size=options.size,
        device=options.device,
        dtype=dtype,
        batch_s=max(2 * options.crop_s, options.batch_s / 10),
        crop_s=options.crop_s,
        folder=options.out / "work" / place,
        **settings,
    )


def draws(options: Options) -> dict[str, Any]:
    """Words, numbers, subsets and masks of many steps, on the host and on the device."""
    compared, wrong = 0, []
    for seed, step in ((0, 0), (7, 123_456), (2**40, 2**31 - 1)):
        here, there = Draws(seed).go_to(step, part=3), Draws(seed, device=options.device).go_to(step, part=3)
        for purpose in Purpose:
            for kind, pair in {
                "words": [d.words(purpose, 32, 1000) for d in (here, there)],
                "uniform": [d.uniform(purpose, 32, 1000) for d in (here, there)],
                "below": [d.below(purpose, 32, 1000, 500) for d in (here, there)],
                "subset": [d.subset(purpose, 32, 1000, 77) for d in (here, there)],
            }.items():
                compared += 1
                wrong += [] if torch.equal(pair[0], pair[1].cpu()) else [f"{kind} of {purpose.name} at step {step}"]
        masks = [span_mask(32, 500, prob=0.65, span=10, draws=d).cpu() for d in (here, there)]
        compared += 1
        wrong += [] if torch.equal(*masks) else [f"span_mask at step {step}"]
    return {"passed": not wrong, "compared": compared, "device": options.device, "wrong": wrong}


def waits(options: Options, name: str) -> dict[str, Any]:
    """Steps under torch's own alarm for operations that make the host wait for the card."""
    run = _training(options, name, f"waits-{name}", dtype=options.dtype)
    for _ in range(2):
        run.step_once()
    if not options.on_gpu:
        return {"skipped": "torch.cuda.set_sync_debug_mode is CUDA's; two steps ran"}
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            run.step_once()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return {"passed": True, "steps": 5}


def compiled(options: Options, name: str) -> dict[str, Any]:
    """The losses of the same steps, eager and compiled, in float32."""
    steps = 8 if options.quick else 20
    found = {}
    for kind in ("eager", "compiled"):
        run = _training(options, name, f"{kind}-{name}", compile=kind == "compiled" and not options.quick)
        if kind == "compiled" and options.quick:
            run.compile_with(backend="aot_eager")
        found[kind] = [float(run.step_once()) for _ in range(steps)]
    apart = max(abs(a - b) / abs(a) for a, b in zip(found["eager"], found["compiled"], strict=True))
    how = "aot_eager: one graph, traced with its backward, no kernels made" if options.quick else "inductor"
    return {
        "passed": apart <= TOLERANCE,
        "largest_relative_difference": apart,
        "steps": steps,
        "compiler": how,
        **found,
    }


def resumed(options: Options, name: str) -> dict[str, Any]:
    """Weights after some steps: twice in one go, and once stopped, saved and taken up again by another training."""
    half, steps = 4, 8
    work = options.out / "work"
    for place in ("whole", "again", "halves"):
        shutil.rmtree(work / f"{place}-{name}", ignore_errors=True)
    weights = {}
    for place in ("whole", "again"):
        run = _training(options, name, f"{place}-{name}", dtype=options.dtype, steps=steps)
        _run(run)
        weights[place] = _weights(run)
    first = _training(options, name, f"halves-{name}", dtype=options.dtype, steps=steps)
    first.stop_after = half
    _run(first)
    tensors, state = first.checkpoints.latest() or ({}, {})
    second = _training(options, name, f"halves-{name}", dtype=options.dtype, steps=steps, carried=state["ledger"])
    second.restore(tensors, state)
    _run(second)
    same = torch.equal(weights["whole"], _weights(second))
    repeats = torch.equal(weights["whole"], weights["again"])
    for place in ("whole", "again", "halves"):
        shutil.rmtree(work / f"{place}-{name}", ignore_errors=True)
    return {
        "passed": same,
        "taken_up_at_step": state["step"],
        "steps": second.state.step,
        "two_whole_runs_equal": repeats,
        "largest_difference": float((weights["whole"] - _weights(second)).abs().max()),
    }


def _run(run: Training) -> None:
    with run.ledger.phase("pretrain"):
        run.run()


def _weights(run: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten().double().cpu() for p in run.model.parameters()])
