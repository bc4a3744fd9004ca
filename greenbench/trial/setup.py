"""The setup of a session: device, data, model and counters, before the budget's clock runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from greenbench.batches.resident import Residence, choose_residence
from greenbench.corpora.apart import load_both
from greenbench.corpora.corpus import Corpus
from greenbench.cost.model_cost import count
from greenbench.cost.steps import BatchFlops, PassFlops
from greenbench.errors import DataError
from greenbench.features.waveforms import WaveformStore, prepare_waveforms
from greenbench.models.base import Upstream
from greenbench.models.layer_drop import drop_layers
from greenbench.models.registry import build, source_fingerprint
from greenbench.records import CHECKPOINTS
from greenbench.records.result import CodeRecord, CostRecord
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.convolutions import correct_convolutions
from greenbench.train.precision import check_attention, check_dtype, pick_device, pick_dtype
from greenbench.trial.booking import Worker
from greenbench.trial.sensors import other_card
from greenbench.units import SAMPLE_RATE


@dataclass(frozen=True)
class Setup:
    """What the setup phase leaves for the others.

    ``scored`` is the corpus whose labels score the representation, mostly the one that is pretrained on. A control
    that computes nothing has no ``flops``; a model that does not relabel itself has no ``pass_flops``.
    """

    device: torch.device
    dtype: str
    corpus: Corpus
    stores: dict[str, WaveformStore]
    scored: Corpus
    scored_stores: dict[str, WaveformStore]
    model: Upstream
    checkpoints: CheckpointStore
    flops: BatchFlops | None
    pass_flops: PassFlops | None
    residence: Residence = "off"
    """Where stored features lie while the model trains."""


def set_up(worker: Worker) -> Setup:
    """Load data and model, and count what the model costs.

    Raises:
        ConfigError: an option that the model, the data or the device does not take.
        DataError: there is nothing to pretrain on.
        DeviceError: the device, an attention kernel or the room for the features is not there.
    """
    settings = worker.suite.train
    threads = settings.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    # Weights that decay towards zero end as denormals, on which a CPU is many times slower.
    torch.set_flush_denormal(True)
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device)
    check_dtype(dtype, device)
    if not worker.control:
        check_attention(settings.sdpa, device, dtype)
    corpus, scored = load_both(worker.suite.suite.data, worker.suite.evaluate.data)
    stores = prepare_waveforms(corpus, workers=threads, progress=None)
    scored_stores = stores if scored is corpus else prepare_waveforms(scored, workers=threads, progress=None)
    model = _model(worker, device)
    if len(stores[model.learns_from].num_samples) == 0:
        what = "audio to pretrain on" if model.learns_from == "pretrain" else f"audio in its {model.learns_from} split"
        raise DataError(f"data {worker.suite.suite.data!r}: no {what}, from which {worker.spec.label} learns")
    residence = _residence(worker, model, stores[model.learns_from], device)
    corrected = correct_convolutions(model, device, dtype)
    _note_machine(worker, device, dtype, threads)
    _note_model(worker, model, {"corrected_convolutions": corrected} if corrected else {})
    checkpoints = CheckpointStore(worker.folder / CHECKPOINTS)
    flops, pass_flops = _count_costs(worker, model)
    return Setup(device, dtype, corpus, stores, scored, scored_stores, model, checkpoints, flops, pass_flops, residence)


def _model(worker: Worker, device: torch.device) -> Upstream:
    torch.manual_seed(worker.seed)
    np.random.seed(worker.seed)
    model = build(worker.spec).to(device)
    if worker.suite.train.layer_drop and not worker.control:
        drop_layers(model, worker.suite.train.layer_drop)
    return model


def _residence(worker: Worker, model: Upstream, store: WaveformStore, device: torch.device) -> Residence:
    """Choose where the features lie, by the memory that is free beside the model; ``off`` where none are stored."""
    train, spec = worker.suite.train, model.feature_spec
    if spec is None or worker.control or train.features == "on-the-fly" or train.augment.is_active:
        return "off"
    return choose_residence(train.resident, spec.stored_bytes(store.num_samples), device)


def _note_machine(worker: Worker, device: torch.device, dtype: str, threads: int) -> None:
    """Record what torch computes on, and warn where another card is metered."""
    outcome = worker.outcome
    outcome.device, outcome.dtype, outcome.threads = str(device), dtype, threads
    if device.type != "cuda":
        return
    properties = torch.cuda.get_device_properties(device)
    uuid = str(getattr(properties, "uuid", "") or "")
    outcome.gpu, outcome.gpu_uuid = properties.name, uuid or None
    outcome.warnings += other_card(worker.trial.gpus, uuid)


def _note_model(worker: Worker, model: Upstream, facts: Mapping[str, object]) -> None:
    outcome = worker.outcome
    outcome.params = sum(p.numel() for p in model.pretraining_parameters())
    outcome.frame_hz = model.frame_hz
    outcome.code = CodeRecord(**source_fingerprint(worker.spec))
    outcome.model_facts = {**model.export_config(), **facts}


def _count_costs(worker: Worker, model: Upstream) -> tuple[BatchFlops | None, PassFlops | None]:
    """Count what the model costs, before the budget's clock runs; give the counters of steps and of passes."""
    if worker.control == "logmel":
        return None, None
    cost = count(model, seconds=worker.suite.train.crop_seconds, fvcore=False)
    outcome = worker.outcome
    outcome.cost, outcome.flops_method = CostRecord(**asdict(cost)), cost.method
    outcome.flops_forward_per_audio_s = cost.flops_forward_per_audio_s
    if worker.control:
        return None, None
    outcome.flops_train_per_audio_s = cost.flops_train_per_audio_s
    flops = BatchFlops(model)
    flops.prepare()
    if not model.relabel_at:
        return flops, None
    passes = PassFlops(model)
    passes(1, SAMPLE_RATE)
    return flops, passes
