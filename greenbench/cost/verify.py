"""``greenbench models --check NAME``: does a model keep the contract? Answered on noise, on the CPU, in seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from greenbench.cost.measure import count_forward
from greenbench.cost.subject import NoiseData, make_batch, stage_fractions, step_info, trains
from greenbench.models.base import Batch, Upstream
from greenbench.models.registry import build
from greenbench.units import FLOPS_PER_MAC, SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec

CROP_S = (1.5, 2.4)
"""Two crop lengths, the second no whole number of coarse frames."""
MAX_FORMULA_ERROR = 0.01


@dataclass(frozen=True)
class Check:
    """One question to a model: ``ok`` is None where the question does not apply."""

    name: str
    ok: bool | None
    detail: str


def verify(spec: ModelSpec) -> dict[str, Any]:
    """Check a contestant and return ``{"model", "size", "ok", "checks": [{"name", "ok", "detail"}], "seconds"}``.

    Checks: shapes of the hidden states at two crop lengths, a finite and reproducible loss, a gradient in every
    parameter that pretraining updates, FLOPs counted against the formula, and weights that survive a round trip. An
    error in the model's own code is a failed check with its message. Raises
    :class:`~greenbench.errors.ConfigError` only where the model cannot be built.
    """
    began = time.perf_counter()
    torch.manual_seed(0)
    model = build(spec)
    questions: list[tuple[str, Callable[[], Check]]] = [
        ("hidden states", lambda: _shapes(model)),
        ("targets", lambda: _targets(model)),
        ("loss", lambda: _loss(model)),
        ("gradients", lambda: _gradients(model)),
        ("FLOPs", lambda: _flops(model)),
        ("state_dict", lambda: _round_trip(model, spec)),
    ]
    checks = [_ask(name, question) for name, question in questions]
    return {
        "model": spec.label,
        "size": spec.size,
        "ok": all(check.ok is not False for check in checks),
        "checks": [asdict(check) for check in checks],
        "seconds": round(time.perf_counter() - began, 2),
    }


def format_verdict(verdict: dict[str, Any]) -> str:
    """What :func:`verify` returned as lines of text."""
    words = {True: "ok", False: "FAILED", None: "-"}
    lines = [f"{verdict['model']} ({verdict['size']}): {'ok' if verdict['ok'] else 'FAILED'}"]
    lines += [f"  {c['name']:<14}{words[c['ok']]:<8}{c['detail']}" for c in verdict["checks"]]
    return "\n".join(lines)


def _ask(name: str, question: Callable[[], Check]) -> Check:
    try:
        return question()
    except Exception as error:  # a stranger's code may raise anything, and that is the finding
        reason = (str(error).strip() or "no message").splitlines()[0]
        return Check(name, ok=False, detail=f"{type(error).__name__}: {reason}")


def _crop(model: Upstream, seconds: float) -> Batch:
    return make_batch(model, 2, round(seconds * SAMPLE_RATE), "cpu")


@torch.no_grad()
def _shapes(model: Upstream) -> Check:
    model.eval()
    widths: list[int] = []
    for seconds in CROP_S:
        states = model.hidden_states(_crop(model, seconds))
        expected = seconds * model.frame_hz
        for number, state in enumerate(states):
            shape = tuple(state.shape)
            if len(shape) != 3 or shape[0] != 2:
                return Check("hidden states", ok=False, detail=f"layer {number} is {shape}, expected (2, T, D)")
            if abs(shape[1] - expected) > 1:
                want = f"{expected:.0f} +- 1 frames ({model.frame_hz:g} Hz x {seconds:g} s)"
                return Check("hidden states", ok=False, detail=f"layer {number} has {shape[1]} frames, expected {want}")
            if not bool(torch.isfinite(state).all()):
                return Check("hidden states", ok=False, detail=f"layer {number} holds values that are not finite")
        widths = [state.shape[2] for state in states]
    if not widths:
        return Check("hidden states", ok=False, detail="no layers; return at least one")
    return Check("hidden states", ok=True, detail=f"{len(widths)} layers of {_span(widths)} at {model.frame_hz:g} Hz")


def _span(widths: list[int]) -> str:
    low, high = min(widths), max(widths)
    return f"{low}" if low == high else f"{low} to {high}"


def _targets(model: Upstream) -> Check:
    if not model.makes_targets:
        return Check("targets", ok=None, detail="needs none")
    model.make_targets(NoiseData(model), seed=0, device=torch.device("cpu"), progress=lambda *_: None)
    state = model.targets_state()
    model.load_targets_state(state)
    again = model.targets_state()
    same = state.keys() == again.keys() and all((state[k] == again[k]).all() for k in state)
    detail = f"{len(state)} arrays, restored" if same else "load_targets_state does not restore targets_state"
    return Check("targets", ok=same, detail=detail)


def _losses(model: Upstream) -> list[Tensor]:
    """One loss for each stage of training, drawn from the same seeds every time."""
    model.train()
    torch.manual_seed(0)
    batch = _crop(model, CROP_S[1])
    return [model.loss(batch, step_info(fraction))[0] for fraction in stage_fractions(model)]


def _loss(model: Upstream) -> Check:
    if not trains(model):
        return Check("loss", ok=None, detail="is evaluated, not trained")
    stage = model.stage
    first = _losses(model)
    model.stage = stage
    second = _losses(model)
    for loss in first:
        if loss.ndim or not loss.requires_grad:
            return Check(
                "loss", ok=False, detail=f"shape {tuple(loss.shape)}; expected a scalar that carries a gradient"
            )
    values = [float(loss.detach()) for loss in first]
    if not all(math.isfinite(v) for v in values):
        return Check("loss", ok=False, detail=f"{values[0]} is not finite on noise")
    if any(float(b.detach()) != a for a, b in zip(values, second, strict=True)):
        return Check("loss", ok=False, detail="differs under the same seeds; draw from info.draws or torch's")
    return Check("loss", ok=True, detail=", ".join(f"{v:.3f}" for v in values) + " on noise, reproducible")


def _gradients(model: Upstream) -> Check:
    if not trains(model):
        return Check("gradients", ok=None, detail="is evaluated, not trained")
    model.zero_grad(set_to_none=True)
    for loss in _losses(model):
        loss.backward()
    wanted = {id(p) for p in model.pretraining_parameters()}
    named = [(name, p) for name, p in model.named_parameters() if id(p) in wanted]
    missed = [name for name, p in named if p.grad is None or not bool(p.grad.any())]
    broken = [name for name, p in named if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    model.zero_grad(set_to_none=True)
    if missed or broken:
        what, names = ("no gradient", missed) if missed else ("a gradient that is not finite", broken)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return Check("gradients", ok=False, detail=f"{what} in {', '.join(names[:3])}{more}")
    model.after_step(step_info())
    return Check(
        "gradients", ok=True, detail=f"reach all {len(named)} tensors, {sum(p.numel() for _, p in named):,} values"
    )


def _flops(model: Upstream) -> Check:
    samples = round(CROP_S[1] * SAMPLE_RATE)
    counted = count_forward(model, 1, samples).flops
    macs = model.analytic_macs(samples)
    if macs is None:
        return Check(
            "FLOPs", ok=None, detail=f"{counted:.4g} counted; define analytic_macs(num_samples) to cross-check"
        )
    difference = FLOPS_PER_MAC * macs / counted - 1 if counted else math.inf
    detail = f"{counted:.4g} counted, {100 * difference:+.2f} % by formula"
    return Check("FLOPs", ok=abs(difference) <= MAX_FORMULA_ERROR, detail=detail)


@torch.no_grad()
def _round_trip(model: Upstream, spec: ModelSpec) -> Check:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    other = build(spec)
    other.load_state_dict(state)
    torch.manual_seed(2)
    batch = _crop(model, CROP_S[0])
    ours, theirs = (m.eval().hidden_states(batch) for m in (model, other))
    if not all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)):
        return Check("state_dict", ok=False, detail="a fresh model with the same state gives other hidden states")
    return Check("state_dict", ok=True, detail=f"{len(state)} tensors, same hidden states")
