"""The features phase of a trial: computed once, kept on the disk, and charged to every trial that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from greenbench.errors import OutputError
from greenbench.features.cache import CachedFeatures, cached_features, one_at_a_time
from greenbench.features.on_the_fly import FeaturesOnTheFly
from greenbench.features.spec import FeatureSpec
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore

if TYPE_CHECKING:
    from greenbench.trial.booking import Worker

Features = FeatureStore | FeaturesOnTheFly
REUSED = "features reused from the disk"


def features_of(
    worker: Worker, store: WaveformStore, spec: FeatureSpec, device: torch.device, *, charged: bool
) -> Features:
    """Return the features of the pretraining split; ``charged`` says whether the budget pays for them.

    On the CPU they come from the cache. A trial that finds them there is charged the seconds and joules that computing
    them took under the same circumstances, so it pays what the first one paid; FLOPs are charged to all alike. On a GPU
    they are computed by every trial, which takes it seconds.
    """
    if worker.suite.train.features == "on-the-fly" and not worker.control:
        with worker.phase("features", charged=charged):
            return FeaturesOnTheFly.prepare(store, spec, device=device)
    if device.type != "cpu":
        with worker.phase("features", charged=charged):
            return FeatureStore.compute(store, spec, device=device, progress=worker.progress)
    with one_at_a_time(store, spec), worker.phase("features", charged=charged):
        try:
            found = _from_cache(worker, store, spec)
        except OutputError as error:
            worker.outcome["warnings"].append(f"features were computed in memory: {error}")
            return FeatureStore.compute(store, spec, progress=worker.progress)
        if found.reused and charged:
            worker.charge(seconds=found.seconds, joules=found.joules, origin=REUSED)
        return found.store


def _from_cache(worker: Worker, store: WaveformStore, spec: FeatureSpec) -> CachedFeatures:
    threads = torch.get_num_threads()
    return cached_features(
        store,
        spec,
        threads=threads,
        energy_j=worker.live_joules(),
        progress=worker.progress,
        circumstances=circumstances(worker.manifest, threads),
    )


def circumstances(manifest: dict[str, Any], threads: int) -> dict[str, Any]:
    """Return what the cost of features depends on: the machine, the threads, and what the joules are read from."""
    host, power = manifest.get("host") or {}, (manifest.get("config") or {}).get("power") or {}
    sources = (manifest.get("sensors") or {}).get("sources") or []
    return {
        "machine": [host.get(key) for key in ("hostname", "cpu", "cores")],
        "threads": threads,
        "sensors": sorted(f"{s['name']}/{d.get('device')}" for s in sources for d in s.get("devices") or []),
        "power": [power.get(key) for key in ("sources", "tdp_w")],
    }
