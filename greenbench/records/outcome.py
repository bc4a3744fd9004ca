"""``outcome.json``: what the trainer's process hands to the one that metered it. Not a result: it has no joules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greenbench.errors import ConfigError, DamagedTrialError
from greenbench.records.files import OUTCOME, read_json
from greenbench.records.result import BudgetSpent, CodeRecord, CostRecord
from greenbench.schema import build


@dataclass
class Outcome:
    """How a session of the trainer ended; filled while it runs, so that a failed one says what it knew.

    ``status`` is empty until the session ends with ``ok`` or ``failed``. FLOPs are counted, seconds are of the clock,
    losses are those of the last steps. ``metrics`` are scores by their names in the registry.
    """

    status: str = ""
    error: str | None = None
    t_mono_ns: int | None = None
    warnings: list[str] = field(default_factory=list)
    device: str = ""
    dtype: str = ""
    threads: int | None = None
    gpu: str = ""
    gpu_uuid: str | None = None
    params: int | None = None
    frame_hz: float | None = None
    code: CodeRecord | None = None
    model_facts: Mapping[str, object] = field(default_factory=dict)
    cost: CostRecord | None = None
    flops_method: str | None = None
    flops_forward_per_audio_s: float | None = None
    flops_train_per_audio_s: float | None = None
    budget: BudgetSpent | None = None
    pretrain_flops: float | None = None
    steps: int | None = None
    audio_s: float | None = None
    final_loss: float | None = None
    audio_s_per_s: float | None = None
    peak_memory_bytes: int | None = None
    padding_pct: float | None = None
    cropped_pct: float | None = None
    stall_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def read_outcome(folder: Path) -> Outcome:
    """Read what a trial's session left.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        return build(Outcome, read_json(folder / OUTCOME), str(folder / OUTCOME), lenient=True)
    except ConfigError as error:
        raise DamagedTrialError(str(error)) from error
