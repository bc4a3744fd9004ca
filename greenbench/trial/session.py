"""What a worker does, phase by phase: setup, features, targets, compile, pretrain, evaluate."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from greenbench.batches.augment import Augmenter
from greenbench.batches.loader import BatchLoader
from greenbench.budget import Ledger
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.load import load_corpus
from greenbench.cost import BatchFlops, PassFlops, count
from greenbench.cost.model_cost import feature_flops_per_audio_s
from greenbench.errors import DataError
from greenbench.features.extract import extract
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.spec import FeatureSpec
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore, prepare_waveforms
from greenbench.models.base import Upstream
from greenbench.models.layer_drop import drop_layers
from greenbench.models.registry import build, source_fingerprint
from greenbench.records import CHECKPOINTS, OUTCOME, write_json
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.compiling import compile_ahead
from greenbench.train.convolutions import correct_convolutions
from greenbench.train.loop import Diverged, Pretraining
from greenbench.train.precision import autocast, check_attention, pick_device, pick_dtype
from greenbench.trial.booking import Worker
from greenbench.trial.emissions import present_rate
from greenbench.trial.features import Features, features_of
from greenbench.trial.memory import peak_rss_bytes, reset_peak_rss
from greenbench.trial.sensors import other_card
from greenbench.units import SAMPLE_RATE

EXIT_INTERRUPTED = 130

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Setup:
    """What the setup phase leaves for the others."""

    device: torch.device
    dtype: str
    corpus: Corpus
    stores: dict[str, WaveformStore]
    scored: Corpus
    """The corpus whose labels score the representation; mostly the one that was pretrained on."""
    scored_stores: dict[str, WaveformStore]
    model: Upstream
    checkpoints: CheckpointStore
    flops: BatchFlops | None
    pass_flops: PassFlops | None


@dataclass
class TargetData:
    """The pretraining split as target makers see it."""

    store: WaveformStore
    features_store: Features | None
    num_samples: np.ndarray

    def waveform(self, index: int) -> np.ndarray:
        """Return one utterance's waveform."""
        return self.store.waveform(index)

    def features(self, index: int) -> np.ndarray:
        """Return one utterance's features."""
        if self.features_store is None:
            raise DataError("this model asked for no features (feature_spec is None) but reads them in make_targets")
        return self.features_store.features(index)

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        """Compute other features of the whole split."""
        return FeatureStore.compute(self.store, spec).features


def run(worker: Worker) -> int:
    """Run all phases of a session; return the exit code (130 where a stop was requested)."""
    with worker.phase("setup", charged=False):
        setup = _set_up(worker)
    if worker.control:
        features = _features(worker, setup, charged=False)
    else:
        features, finished = _pretrain(worker, setup)
        if not finished:
            worker.events.write(event="interrupted")
            return EXIT_INTERRUPTED
    with worker.phase("evaluate", charged=False):
        _evaluate(worker, setup, features)
    worker.outcome |= {"status": "ok", "error": None, "t_mono_ns": time.monotonic_ns()}
    write_json(worker.folder / OUTCOME, worker.outcome)
    return 0


def _set_up(worker: Worker) -> Setup:
    settings = worker.suite.train
    threads = settings.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    # Weights that decay towards zero end as denormals, on which a CPU is many times slower.
    torch.set_flush_denormal(True)
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device)
    if not worker.control:
        check_attention(settings.sdpa, device, dtype)
    corpus = load_corpus(worker.suite.suite.data)
    stores = prepare_waveforms(corpus, workers=threads, progress=None)
    scored_spec = worker.suite.evaluate.data or corpus.spec
    scored = corpus if scored_spec == corpus.spec else load_corpus(scored_spec)
    scored_stores = stores if scored is corpus else prepare_waveforms(scored, workers=threads, progress=None)
    if len(stores["pretrain"].num_samples) == 0:
        raise DataError(f"data {worker.suite.suite.data!r}: no audio to pretrain on")
    torch.manual_seed(worker.seed)
    np.random.seed(worker.seed)
    model = build(worker.spec).to(device)
    if settings.layer_drop and not worker.control:
        drop_layers(model, settings.layer_drop)
    corrected = correct_convolutions(model, device, dtype)
    worker.outcome |= {
        "device": str(device),
        "dtype": dtype,
        "threads": threads,
        "params": sum(p.numel() for p in model.pretraining_parameters()),
        "frame_hz": model.frame_hz,
        "code": source_fingerprint(worker.spec),
        "model_facts": model.export_config() | ({"corrected_convolutions": corrected} if corrected else {}),
    }
    _note_card(worker, device)
    counters = _count_costs(worker, model)
    checkpoints = CheckpointStore(worker.folder / CHECKPOINTS)
    return Setup(device, dtype, corpus, stores, scored, scored_stores, model, checkpoints, *counters)


def _note_card(worker: Worker, device: torch.device) -> None:
    """Record which card torch computes on, and warn where another one is metered."""
    if device.type != "cuda":
        return
    properties = torch.cuda.get_device_properties(device)
    uuid = str(getattr(properties, "uuid", "") or "")
    worker.outcome |= {"gpu": properties.name, "gpu_uuid": uuid or None}
    worker.outcome["warnings"] += other_card(worker.manifest, uuid)


def _count_costs(worker: Worker, model: Upstream) -> tuple[BatchFlops | None, PassFlops | None]:
    """Count what the model costs, before the budget's clock runs; return the counters of steps and of passes."""
    if worker.control == "logmel":
        return None, None
    cost = count(model, seconds=worker.suite.train.crop_seconds, fvcore=False)
    worker.outcome |= {
        "cost": asdict(cost),
        "flops_method": cost.method,
        "flops_forward_per_audio_s": cost.flops_forward_per_audio_s,
    }
    if worker.control:
        return None, None
    worker.outcome |= {"flops_train_per_audio_s": cost.flops_train_per_audio_s}
    flops = BatchFlops(model)
    flops.prepare()
    if not model.relabel_at:
        return flops, None
    passes = PassFlops(model)
    passes(1, SAMPLE_RATE)
    return flops, passes


def _features(worker: Worker, setup: Setup, *, charged: bool) -> Features | None:
    spec = setup.model.feature_spec
    if spec is None:
        return None
    return features_of(worker, setup.stores["pretrain"], spec, setup.device, charged=charged)


def _pretrain(worker: Worker, setup: Setup) -> tuple[Features | None, bool]:
    """Features, targets, compilation and training under the ledger; False where a stop was requested."""
    suite, model = worker.suite, setup.model
    saved = setup.checkpoints.latest()
    carried = saved[1]["ledger"] if saved else None
    grams_per_joule = present_rate(worker.manifest)
    assert setup.flops is not None
    worker.ledger = ledger = Ledger(
        suite.budget, live=worker.live_joules(), grams_per_joule=grams_per_joule, carried=carried
    )
    fresh = saved is None
    features = _features(worker, setup, charged=fresh)
    data = TargetData(setup.stores["pretrain"], features, setup.stores["pretrain"].num_samples)
    _targets(worker, setup, data, stage=saved[1].get("stage", 0) if saved else None)
    if fresh:
        ledger.charge(flops=_preparation_flops(setup, features), origin="features and targets")
    reset_peak_rss()
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setup.device)
    loader = _loader(worker, setup, features)
    training = Pretraining(
        model,
        loader,
        ledger,
        worker.spec.recipe,
        suite.train,
        seed=worker.seed,
        device=setup.device,
        dtype=setup.dtype,
        flops_of_batch=_step_flops(setup, features, augmented=loader.augment is not None),
        journal=worker.metrics,
        checkpoints=setup.checkpoints,
        stop_requested=lambda: worker.stop,
        checkpoint_phase=worker.checkpoint_phase,
    )
    if saved:
        training.restore(*saved)
        worker.events.write(event="resume", step=training.state.step)
    if suite.train.compile:
        # A resumed session compiles once more; the budget has paid for it already.
        with worker.phase("compile", charged=fresh):
            compile_ahead(training, charged=fresh)
    while True:
        with worker.phase("pretrain"):
            try:
                pause = training.run()
            except Diverged as error:
                raise DataError(f"model {worker.spec.label!r} diverged: {error}") from error
        if pause != "targets":
            break
        _remake_targets(worker, setup, training, data)
    if pause == "finished":
        training.save("final")
        training.adopt_average()
        setup.checkpoints.save_model(dict(model.state_dict()))
    worker.outcome |= _training_facts(training, loader, ledger, setup)
    return features, pause == "finished"


def _loader(worker: Worker, setup: Setup, features: Features | None) -> BatchLoader:
    train = worker.suite.train
    return BatchLoader(
        setup.stores["pretrain"],
        features,
        seed=worker.seed,
        fingerprint=setup.corpus.fingerprint,
        batch_seconds=train.batch_seconds,
        crop_seconds=train.crop_seconds,
        device=setup.device,
        language_alpha=setup.model.language_alpha,
        augment=Augmenter(train.augment, seed=worker.seed) if train.augment.is_active else None,
    )


def _preparation_flops(setup: Setup, features: Features | None) -> float:
    """Return the FLOPs of features and targets, which are part of pretraining."""
    audio_s = float(setup.stores["pretrain"].num_samples.sum()) / SAMPLE_RATE
    if isinstance(features, FeaturesOnTheFly):
        audio_s = features.computed_s
    return feature_flops_per_audio_s(setup.model) * audio_s + setup.model.extra_flops()


def _step_flops(setup: Setup, features: Features | None, *, augmented: bool) -> Callable[[int, int], float]:
    """Return the FLOPs of a training step on (crops, samples a crop), with those of features made for each batch."""
    flops = setup.flops
    assert flops is not None
    if features is None or not (augmented or isinstance(features, FeaturesOnTheFly)):
        return flops
    per_sample = feature_flops_per_audio_s(setup.model) / SAMPLE_RATE
    return lambda crops, samples: flops(crops, samples) + per_sample * crops * samples


def _targets(worker: Worker, setup: Setup, data: TargetData, *, stage: int | None) -> None:
    """Make the first targets, or take back those of the stage that a resumed trial stands in."""
    model = setup.model
    made = {} if stage is None else setup.checkpoints.load_targets(stage=stage)
    if made:
        model.load_targets_state(made)
        return
    if type(model).make_targets is Upstream.make_targets:
        return
    with worker.phase("targets", charged=stage is None):
        model.make_targets(data, seed=worker.seed, device=setup.device, progress=worker.progress)
    setup.checkpoints.save_targets(model.targets_state())


def _remake_targets(worker: Worker, setup: Setup, training: Pretraining, data: TargetData) -> None:
    """Make targets anew from the model's own hidden states, charged, and write a checkpoint that holds them.

    A crash in between finds the last checkpoint with the targets of its own stage.
    """
    model, stage = setup.model, training.state.stage + 1
    assert worker.ledger is not None
    assert setup.pass_flops is not None
    with worker.phase("targets", stage=stage):
        before = model.extra_flops()
        model.eval()
        with torch.no_grad(), autocast(setup.device, setup.dtype):
            model.remake_targets(
                data, seed=worker.seed, device=setup.device, progress=worker.progress, flops_of_pass=setup.pass_flops
            )
        worker.ledger.charge(flops=model.extra_flops() - before, origin="targets made anew")
        training.begin_stage(build(worker.spec) if model.restarts else None)
    setup.checkpoints.save_targets(model.targets_state(), stage=stage)
    training.save("targets")
    setup.checkpoints.drop_targets(before=stage)


def _training_facts(training: Pretraining, loader: BatchLoader, ledger: Ledger, setup: Setup) -> dict[str, Any]:
    peak = torch.cuda.max_memory_allocated(setup.device) if setup.device.type == "cuda" else peak_rss_bytes()
    budget = {"kind": ledger.kind, "limit": ledger.limit, "spent": ledger.spent()}
    return {
        "budget": {**budget, "overshoot_pct": ledger.overshoot_pct()},
        "pretrain_flops": ledger.spent()["flops"],
        "steps": training.state.step,
        "audio_s": training.state.audio_s,
        "final_loss": training.final_loss,
        "audio_s_per_s": training.audio_s_per_s,
        "peak_memory_bytes": peak,
        "padding_pct": 100 * loader.plan.padding_ratio,
        "cropped_pct": 100 * loader.plan.cropped_ratio,
        "stall_s": loader.stall_s,
    }


def _evaluate(worker: Worker, setup: Setup, features: Features | None) -> None:
    from greenbench.evaluate import evaluate

    model = setup.model.eval()
    spec = model.feature_spec

    def featurize(waveforms: torch.Tensor) -> torch.Tensor | None:
        if spec is None:
            return None
        assert features is not None
        return features.normalise(extract(waveforms, spec))

    with autocast(setup.device, setup.dtype):
        evaluation = evaluate(
            model,
            setup.scored,
            setup.scored_stores,
            featurize,
            worker.suite.evaluate,
            seed=worker.seed,
            device=setup.device,
            threads=torch.get_num_threads(),
            progress=worker.progress,
            joules=worker.live_joules(),
            grams_per_joule=present_rate(worker.manifest)(),
        )
    worker.outcome |= {"metrics": evaluation.metrics, "tasks": evaluation.tasks, "left_out": evaluation.left_out}
