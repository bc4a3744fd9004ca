"""The features phase of a trial: computed once, kept on the disk, and charged to every trial that reads them."""

from __future__ import annotations

import torch

from greenbench.config import PowerSection
from greenbench.errors import OutputError
from greenbench.features.cache import CachedFeatures, cached_features, device_name, one_at_a_time
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.spec import FeatureSpec
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore
from greenbench.records import Trial
from greenbench.trial.booking import Books, Worker

Features = FeatureStore | FeaturesOnTheFly
REUSED = "features reused from the disk"


def features_of(
    worker: Worker, books: Books, store: WaveformStore, spec: FeatureSpec, device: torch.device, *, charged: bool
) -> Features:
    """Make the features of the pretraining split, or find them; ``charged`` says whether the budget pays for them.

    They come from the cache. A trial that finds them there is charged the seconds and joules that computing them took
    under the same circumstances, so it pays what the first one paid; FLOPs are charged to all alike.
    """
    if worker.suite.train.features == "on-the-fly" and not worker.control:
        with books.phase("features", charged=charged):
            return FeaturesOnTheFly.prepare(store, spec, device=device)
    with one_at_a_time(store, spec, device=device), books.phase("features", charged=charged):
        try:
            found = _from_cache(worker, store, spec, device)
        except OutputError as error:
            worker.outcome.warnings.append(f"features were computed in memory: {error}")
            return FeatureStore.compute(store, spec, device=device, progress=worker.progress)
        if found.reused and charged:
            books.charge(seconds=found.seconds, joules=found.joules, origin=REUSED)
        return found.store


def _from_cache(worker: Worker, store: WaveformStore, spec: FeatureSpec, device: torch.device) -> CachedFeatures:
    threads = torch.get_num_threads()
    return cached_features(
        store,
        spec,
        threads=threads,
        device=device,
        energy_j=worker.live_joules(),
        progress=worker.progress,
        circumstances=circumstances(worker.trial, threads, device),
    )


def circumstances(trial: Trial, threads: int, device: torch.device) -> dict[str, object]:
    """Say what the cost of features depends on: machine, device, threads, and what the joules are read from."""
    host, power = trial.host, trial.config.power if trial.config else PowerSection()
    sources = trial.sensors.sources
    return {
        "machine": [host.hostname, host.cpu, host.cores],
        "device": device_name(device),
        "threads": threads,
        "sensors": sorted(f"{source.name}/{info.device}" for source in sources for info in source.devices),
        "power": [power.sources, power.tdp_w],
    }
