"""Pretraining under a budget: features, targets, compilation and steps, each paid for from one ledger."""

from __future__ import annotations

from collections.abc import Callable

import torch

from greenbench.batches.augment import Augmenter
from greenbench.batches.loader import BatchLoader
from greenbench.batches.resident import StoredCrops, place
from greenbench.budget import Ledger
from greenbench.cost.model_cost import feature_flops_per_audio_s
from greenbench.cost.steps import BatchFlops
from greenbench.errors import DataError
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.store import FeatureStore
from greenbench.models.registry import build
from greenbench.records.result import BudgetSpent
from greenbench.train.compiling import compile_ahead
from greenbench.train.loop import Diverged, Pretraining
from greenbench.train.precision import autocast
from greenbench.trial.booking import Books, Worker
from greenbench.trial.emissions import present_rate
from greenbench.trial.features import Features, features_of
from greenbench.trial.memory import peak_memory_bytes, reset_peak_rss
from greenbench.trial.setup import Setup
from greenbench.trial.target_data import TargetData
from greenbench.units import SAMPLE_RATE


class PretrainSession:
    """One session's pretraining, from the beginning or from the last checkpoint, with the ledger that pays for it.

    A resumed session makes its features again and compiles once more, but the budget has paid for both already.
    """

    def __init__(self, worker: Worker, setup: Setup, flops: BatchFlops) -> None:
        self.worker, self.setup, self.flops = worker, setup, flops
        self.saved = setup.checkpoints.latest()
        self.fresh = self.saved is None
        self.ledger = Ledger(
            worker.suite.budget,
            live=worker.live_joules(),
            grams_per_joule=present_rate(worker.trial.carbon_plan),
            carried=self.saved[1]["ledger"] if self.saved else None,
        )
        self.books = worker.books = Books(worker.events, self.ledger)
        self.store = setup.stores[setup.model.learns_from]
        self.features: Features | None = None
        self.stored: StoredCrops | None = None

    def run(self) -> bool:
        """Pretrain until the budget ends; False where a stop was requested before.

        Raises:
            DataError: the loss is not finite any more.
        """
        spec = self.setup.model.feature_spec
        store = self.store
        if spec is not None:
            self.features = features_of(self.worker, self.books, store, spec, self.setup.device, charged=self.fresh)
        data = TargetData(store, self.features, store.num_samples, self.setup.corpus)
        self._make_targets(data)
        if self.fresh:
            self.ledger.charge(flops=self._preparation_flops(), origin="features and targets")
        reset_peak_rss()
        if self.setup.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.setup.device)
        self._place_features()
        loader = self._loader()
        training = self._training(loader)
        finished = self._train(training, data)
        self._note(training, loader)
        return finished

    def _place_features(self) -> None:
        """Put stored features where the batches are taken from; filling the device's memory is paid for."""
        device, residence = self.setup.device, self.setup.residence
        if not isinstance(self.features, FeatureStore):
            return
        if residence != "whole":
            self.stored = place(self.features, residence, device)
            return
        with self.books.phase("features", charged=self.fresh, into=str(device), bytes=self.features.frames.nbytes):
            self.stored = place(self.features, residence, device, progress=self.worker.progress)

    def _make_targets(self, data: TargetData) -> None:
        """Make the first targets, or take back those of the stage that a resumed trial stands in."""
        model, checkpoints = self.setup.model, self.setup.checkpoints
        made = checkpoints.load_targets(stage=self.saved[1].get("stage", 0)) if self.saved else {}
        if made:
            model.load_targets_state(made)
            return
        if not model.makes_targets:
            return
        with self.books.phase("targets", charged=self.fresh):
            model.make_targets(data, seed=self.worker.seed, device=self.setup.device, progress=self.worker.progress)
        checkpoints.save_targets(model.targets_state())

    def _preparation_flops(self) -> float:
        """Count the FLOPs of features and targets, which are part of pretraining."""
        audio_s = float(self.store.num_samples.sum()) / SAMPLE_RATE
        if isinstance(self.features, FeaturesOnTheFly):
            audio_s = self.features.computed_s
        return feature_flops_per_audio_s(self.setup.model) * audio_s + self.setup.model.extra_flops()

    def _loader(self) -> BatchLoader:
        train = self.worker.suite.train
        return BatchLoader(
            self.store,
            self.features,
            seed=self.worker.seed,
            fingerprint=self.setup.corpus.fingerprint,
            batch_seconds=train.batch_seconds,
            crop_seconds=train.crop_seconds,
            crop_lengths=train.crop_lengths,
            device=self.setup.device,
            language_alpha=self.setup.model.language_alpha,
            augment=Augmenter(train.augment, seed=self.worker.seed) if train.augment.is_active else None,
            stored=self.stored,
        )

    def _training(self, loader: BatchLoader) -> Pretraining:
        worker, setup = self.worker, self.setup
        training = Pretraining(
            setup.model,
            loader,
            self.ledger,
            worker.spec.recipe,
            worker.suite.train,
            seed=worker.seed,
            device=setup.device,
            dtype=setup.dtype,
            flops_of_batch=self._step_flops(augmented=loader.augment is not None),
            journal=worker.metrics,
            checkpoints=setup.checkpoints,
            stop_requested=lambda: worker.stop,
            checkpoint_phase=self.books.checkpoint_phase,
        )
        if self.saved:
            training.restore(*self.saved)
            saved_ns = self.saved[1].get("t_mono_ns")
            worker.events.write(event="resume", step=training.state.step, saved_ns=saved_ns)
        return training

    def _step_flops(self, *, augmented: bool) -> Callable[[int, int], float]:
        """Count a training step on (crops, samples a crop), with the features that are made for each batch."""
        flops, features = self.flops, self.features
        if features is None or not (augmented or isinstance(features, FeaturesOnTheFly)):
            return flops
        per_sample = feature_flops_per_audio_s(self.setup.model) / SAMPLE_RATE
        return lambda crops, samples: flops(crops, samples) + per_sample * crops * samples

    def _train(self, training: Pretraining, data: TargetData) -> bool:
        if self.worker.suite.train.compile:
            with self.books.phase("compile", charged=self.fresh):
                compile_ahead(training, charged=self.fresh)
        pause = self._steps(training)
        while pause == "targets":
            self._remake_targets(training, data)
            pause = self._steps(training)
        if pause != "finished":
            return False
        with self.worker.finishing():
            training.save("final")
            training.adopt_average()
            self.setup.checkpoints.save_model(dict(self.setup.model.state_dict()))
        return not self.worker.stop

    def _steps(self, training: Pretraining) -> str:
        with self.worker.finishing(), self.books.phase("pretrain"):
            try:
                pause = training.run()
            except Diverged as error:
                raise DataError(f"model {self.worker.spec.label!r} diverged: {error}") from error
            if self.worker.stop and pause != "stopped":
                training.save("interrupted")
                return "stopped"
            return pause

    def _remake_targets(self, training: Pretraining, data: TargetData) -> None:
        """Make targets anew from the model's own hidden states, charged, and write a checkpoint that holds them.

        A crash in between finds the last checkpoint with the targets of its own stage.
        """
        worker, setup, stage = self.worker, self.setup, training.state.stage + 1
        model = setup.model
        assert setup.pass_flops is not None
        with self.books.phase("targets", stage=stage):
            before = model.extra_flops()
            model.eval()
            with torch.no_grad(), autocast(setup.device, setup.dtype):
                model.remake_targets(
                    data,
                    seed=worker.seed,
                    device=setup.device,
                    progress=worker.progress,
                    flops_of_pass=setup.pass_flops,
                )
            self.ledger.charge(flops=model.extra_flops() - before, origin="targets made anew")
            training.begin_stage(build(worker.spec) if model.restarts else None)
        with worker.finishing():
            setup.checkpoints.save_targets(model.targets_state(), stage=stage)
            training.save("targets")
            setup.checkpoints.drop_targets(before=stage)

    def _note(self, training: Pretraining, loader: BatchLoader) -> None:
        outcome, spent = self.worker.outcome, self.ledger.spent()
        outcome.budget = BudgetSpent(self.ledger.kind, self.ledger.limit, spent, self.ledger.overshoot_pct())
        outcome.pretrain_flops = spent["flops"]
        outcome.steps, outcome.audio_s = training.state.step, training.state.audio_s
        outcome.final_loss, outcome.audio_s_per_s = training.final_loss, training.audio_s_per_s
        # Features that are kept whole on a card are there for speed: a smaller one takes them in windows.
        device = self.setup.device
        kept_bytes = self.stored.nbytes if self.stored is not None and device.type == "cuda" else 0
        outcome.peak_memory_bytes = peak_memory_bytes(device) - kept_bytes
        outcome.padding_pct = 100 * loader.plan.padding_ratio
        outcome.cropped_pct = 100 * loader.plan.cropped_ratio
        outcome.stall_s = loader.stall_s
