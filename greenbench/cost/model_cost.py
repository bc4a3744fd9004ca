"""What a model costs: parameters, operations and memory, counted and cross-checked."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from greenbench.cost.figures import Cost
from greenbench.cost.measure import count_forward, count_training
from greenbench.cost.subject import at_stage, make_batch, stage_fractions, trains, twin
from greenbench.units import FLOPS_PER_MAC, SAMPLE_RATE

if TYPE_CHECKING:
    from greenbench.cards import ModelSpec
    from greenbench.models.base import Upstream

METHOD = (
    "operators counted on the dispatched graph; training = forward and backward of the loss; memory = float32 weights, "
    "optimizer state and the peak of live activations, gradients and temporaries, simulated"
)
MAX_TRACED_FLOPS = 2.5e11
"""fvcore must really run the model on the CPU; beyond this (seconds of one core) its figure is left out."""

OPTIMIZER_BYTES = {"adamw": 8, "adam": 8, "muon": 4}


def count(
    model: ModelSpec | Upstream, *, seconds: float = 10.0, batch: int = 1, fvcore: bool = True, layer_drop: float = 0.0
) -> Cost:
    """Count a contestant (built on the meta device, so size does not matter) or a module that exists.

    ``layer_drop`` is the probability that training skips a layer, for a contestant; it is counted in expectation.
    Raises :class:`~greenbench.errors.ConfigError` for options the model does not take, and where neither shapes
    nor a CPU run get through its code.
    """
    subject, optimizer = _resolve(model)
    if layer_drop and trains(subject):
        from greenbench.models.layer_drop import drop_layers

        drop_layers(subject, layer_drop)
    samples = round(seconds * SAMPLE_RATE)
    audio_s = batch * samples / SAMPLE_RATE
    forward = count_forward(subject, batch, samples)
    train, peak, state = _training(subject, batch, samples, optimizer) if trains(subject) else (None, None, None)
    analytic = subject.analytic_macs(samples)
    traceable = fvcore and forward.flops / batch <= MAX_TRACED_FLOPS
    traced, missed = _fvcore(subject, samples) if traceable else (None, {})
    return Cost(
        params=sum(p.numel() for p in subject.pretraining_parameters()),
        encoder_params=forward.encoder_params,
        seconds=samples / SAMPLE_RATE,
        batch=batch,
        macs_per_audio_s=forward.flops / FLOPS_PER_MAC / audio_s,
        flops_forward_per_audio_s=forward.flops / audio_s,
        flops_train_per_audio_s=None if train is None else train / audio_s,
        flops_features_per_audio_s=None if subject.own_features else feature_flops_per_audio_s(subject),
        peak_train_memory_bytes=peak,
        method=METHOD,
        uncounted_ops=dict(forward.uncounted_calls),
        uncounted_elements_per_audio_s=sum(forward.uncounted_elements.values()) / audio_s,
        analytic_flops_forward_per_audio_s=None
        if analytic is None
        else FLOPS_PER_MAC * analytic * SAMPLE_RATE / samples,
        fvcore_flops_forward_per_audio_s=None if traced is None else traced * SAMPLE_RATE / samples,
        fvcore_uncounted_ops=missed,
        by_module={name: flops / audio_s for name, flops in forward.by_module.items()},
        train_state_bytes=state,
    )


def _resolve(model: ModelSpec | Upstream) -> tuple[Upstream, str]:
    if isinstance(model, nn.Module):
        return model, "adamw"
    from greenbench.models.registry import build

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        built = build(model)
    # Some libraries create a few tensors past the default device.
    return twin(built, "meta"), model.recipe.optimizer


def _training(model: Upstream, batch: int, samples: int, optimizer: str) -> tuple[float, int, int]:
    """FLOPs of a step, averaged over the stages, the largest memory of any stage, and its constant part."""
    fractions = stage_fractions(model)
    counts = []
    for stage, fraction in enumerate(fractions):
        with at_stage(model, stage):
            counts.append(count_training(model, batch, samples, fraction=fraction))
    lengths = [b - a for a, b in zip(fractions, (*fractions[1:], 1.0), strict=True)]
    flops = sum(c.flops * length for c, length in zip(counts, lengths, strict=True)) / sum(lengths)
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    state = OPTIMIZER_BYTES[optimizer] * sum(p.numel() for p in model.pretraining_parameters())
    return flops, weights + state + max(c.peak_bytes for c in counts), weights + state


def feature_flops_per_audio_s(model: Upstream) -> float:
    """What computing the model's input features costs, 0 for a model that reads the waveform.

    Counted on a second of real noise: FFT, filter bank and cosine transform.
    """
    if model.feature_spec is None:
        return 0.0
    from greenbench.cost.counter import counting
    from greenbench.features.extract import extract

    with counting(virtual=False) as counter:
        extract(torch.zeros(1, SAMPLE_RATE), model.feature_spec)
    return counter.flops


class _Inference(nn.Module):
    """``hidden_states`` behind the call interface that tracing needs."""

    def __init__(self, model: Upstream, num_samples: int) -> None:
        super().__init__()
        self.model, self.num_samples = model, num_samples

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        batch = make_batch(self.model, 1, self.num_samples, str(values.device))
        if batch.waveform is not None:
            batch.waveform = values
        else:
            batch.features = values
        return tuple(self.model.hidden_states(batch))


def _fvcore(model: Upstream, samples: int) -> tuple[float | None, dict[str, int]]:
    """Two times fvcore's count (it counts MACs) for one crop, and the operators it says it skipped."""
    from fvcore.nn import FlopCountAnalysis

    subject = twin(model, "cpu").eval()
    batch = make_batch(subject, 1, samples, "cpu")
    values: Any = batch.waveform if batch.waveform is not None else batch.features
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            analysis = FlopCountAnalysis(_Inference(subject, samples), values)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            return FLOPS_PER_MAC * float(analysis.total()), dict(analysis.unsupported_ops())
        except Exception:  # its tracer knows fewer operators than torch: the cross-check is absent then
            return None, {}
