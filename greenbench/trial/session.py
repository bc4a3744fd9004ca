"""What a worker does: setup, pretraining under the budget (not for controls), evaluation."""

from __future__ import annotations

import torch

from greenbench.errors import Interrupted, TrialFailed
from greenbench.features.extract import extract
from greenbench.models.base import Upstream
from greenbench.train.precision import autocast
from greenbench.trial.booking import Worker
from greenbench.trial.emissions import present_rate
from greenbench.trial.features import Features, features_of
from greenbench.trial.out_of_memory import memory_explained
from greenbench.trial.pretrain import PretrainSession
from greenbench.trial.setup import Setup, set_up
from greenbench.trial.target_data import TargetData


def run(worker: Worker) -> int:
    """Run all phases of a session; return the exit code (130 where a stop was requested)."""
    with worker.books.phase("setup", charged=False):
        setup = set_up(worker)
    with memory_explained(worker, setup.device):
        return _after_setup(worker, setup)


def _after_setup(worker: Worker, setup: Setup) -> int:
    if setup.flops is None:
        features = _features_of_control(worker, setup)
        _fit_reading(worker, setup, features)
    else:
        session = PretrainSession(worker, setup, setup.flops)
        if not session.run():
            if worker.energy_lost:
                raise TrialFailed(worker.energy_lost)
            worker.events.write(event="interrupted")
            return Interrupted.exit_code
        features = session.features
    with worker.books.phase("evaluate", charged=False):
        _evaluate(worker, setup, features)
    worker.succeed()
    return 0


def _features_of_control(worker: Worker, setup: Setup) -> Features | None:
    spec = setup.model.feature_spec
    if spec is None:
        return None
    return features_of(worker, worker.books, setup.stores[setup.model.learns_from], spec, setup.device, charged=False)


def _fit_reading(worker: Worker, setup: Setup, features: Features | None) -> None:
    """Let random weights read as the trained model does, so that the two differ by what was learnt alone."""
    model = setup.model
    store = setup.stores[model.learns_from]
    if type(model).fit_reading is not Upstream.fit_reading:
        with worker.books.phase("targets", charged=False):
            model.fit_reading(TargetData(store, features, store.num_samples, setup.corpus), seed=worker.seed)


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
            grams_per_joule=present_rate(worker.trial.carbon_plan)(),
        )
    outcome = worker.outcome
    outcome.metrics, outcome.tasks, outcome.left_out = evaluation.metrics, evaluation.tasks, evaluation.left_out
