"""The figures of a counted model, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """Costs of a model at one crop length; counted unless its name says otherwise; None is not available.

    ``params`` are those that pretraining updates, ``encoder_params`` those in the graph of the representation.
    Features that an extractor of ``transformers`` computes are not counted: their FLOPs are None.
    FLOPs and MACs are per second of audio of one crop of ``seconds``. ``uncounted_ops`` are the calls of arithmetic
    operators without a formula (norms, activations, softmax) in one inference, ``uncounted_elements_per_audio_s``
    the values they produce: with a few operations each they are what the FLOPs leave out.
    """

    params: int
    encoder_params: int
    seconds: float
    batch: int
    macs_per_audio_s: float
    flops_forward_per_audio_s: float
    flops_train_per_audio_s: float | None
    flops_features_per_audio_s: float | None
    peak_train_memory_bytes: int | None
    method: str
    uncounted_ops: dict[str, int]
    uncounted_elements_per_audio_s: float
    analytic_flops_forward_per_audio_s: float | None
    fvcore_flops_forward_per_audio_s: float | None
    fvcore_uncounted_ops: dict[str, int] = field(default_factory=dict)
    by_module: dict[str, float] = field(default_factory=dict)
    train_state_bytes: int | None = None
    """Of the training memory, what does not grow with the batch: weights, buffers and optimizer state."""
