"""How fast audio becomes batches, in seconds of audio per CPU second of one core.

    python benchmarks/data_speed.py [DATA ...]        (default: mini)

Decoding is measured on the files themselves (caches are left alone), log-mel on the decoded audio, both on one core;
the plan on 100,000 generated lengths, in a process of its own; the loader on the corpus. CPU time, not wall time, so
that a busy machine does not change the figures much; ``wall`` is printed beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLAN = r"""
import re, time, numpy as np
lengths = (np.random.default_rng(0).gamma(4, 3, 100_000) * 16_000 + 1600).astype(np.int64)
from greenbench.batches.plan import EpochPlan
def peak_mib():  # not getrusage: its peak is handed down from the process that started this one
    return int(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/self/status").read())[1]) / 1024
before = peak_mib()
begin = time.process_time()
plan = EpochPlan.make(lengths, seed=0, epoch=0, fingerprint="x")
seconds = time.process_time() - begin
print(seconds, before, peak_mib(), len(plan))
"""


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def measure(spec: str) -> dict[str, Any]:
    import torch

    from greenbench.batches.loader import BatchLoader
    from greenbench.corpora.load import load_corpus
    from greenbench.features.spec import KALDI_FBANK_40, LOGMEL_80
    from greenbench.features.store import FeatureStore
    from greenbench.features.waveforms import prepare_waveforms

    torch.set_num_threads(1)
    corpus = load_corpus(spec)
    before = os.environ.get("GREENBENCH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GREENBENCH_CACHE"] = folder
        stores, decode_s, decode_wall_s = timed(lambda: prepare_waveforms(corpus, workers=1))
        store = stores["pretrain"]
        all_s = sum(u.duration_s for u in corpus.utterances)
        figures = {"data": spec, "audio_s": round(all_s), "decode_x": all_s / decode_s}
        for name, feature_spec in (("logmel_80", LOGMEL_80), ("kaldi_fbank_40", KALDI_FBANK_40)):
            FeatureStore.compute(store, feature_spec, threads=1)
            features, cpu_s, _ = timed(lambda spec=feature_spec: FeatureStore.compute(store, spec, threads=1))
            figures[f"{name}_x"] = store.audio_s / cpu_s
            per_audio_s = decode_s / all_s + cpu_s / store.audio_s
            figures[f"decode_and_{name}_x"] = 1 / per_audio_s
        _, _, figures["decode_2_workers_wall_s"] = timed(lambda: _decode_anew(corpus, folder))
        figures["decode_1_worker_wall_s"] = decode_wall_s
        loader = BatchLoader(store, features, seed=0, fingerprint=corpus.fingerprint, waveform=True)
        batches, cpu_s, _ = timed(lambda: [next(loader).audio_s for _ in range(100)])
        figures["loader_x"] = sum(batches) / cpu_s
        figures["cropped_pct"] = 100 * loader.plan.cropped_ratio
        figures["padding_pct"] = 100 * loader.plan.padding_ratio
    if before is None:
        del os.environ["GREENBENCH_CACHE"]
    else:
        os.environ["GREENBENCH_CACHE"] = before
    return figures


def _decode_anew(corpus: Any, folder: str) -> None:
    from greenbench.features.waveforms import prepare_waveforms

    os.environ["GREENBENCH_CACHE"] = str(Path(folder) / "second")
    prepare_waveforms(corpus, workers=2)


def main(arguments: list[str]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for spec in arguments or ["mini"]:
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in measure(spec).items()}, indent=1))
    output = subprocess.run([sys.executable, "-c", PLAN], capture_output=True, text=True, check=True).stdout.split()
    cpu_s, before, after, batches = map(float, output)
    memory = f"peak memory {before:.0f} -> {after:.0f} MiB"
    print(f"plan of 100,000 utterances: {cpu_s:.3f} CPU s, {memory}, {batches:.0f} batches")


if __name__ == "__main__":
    main(sys.argv[1:])
