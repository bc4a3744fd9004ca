"""The metering side of a trial: it starts the sampler outside the trainer, then the trainer, and writes the result."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from greenbench.carbon import Grid
from greenbench.cards import ModelSpec, resolve
from greenbench.config import Suite
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.summary import summarise
from greenbench.errors import Interrupted, TrialFailed
from greenbench.plan import TrialPlan
from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import SamplerProcess
from greenbench.records import (
    EVENTS,
    LIVE,
    MANIFEST,
    METRICS,
    OUTCOME,
    POWER,
    RESULT,
    SCHEMA_VERSION,
    Journal,
    read_json,
    read_jsonl,
    write_json,
)
from greenbench.schema import as_table
from greenbench.trial.emissions import carbon_table
from greenbench.trial.finish import finish
from greenbench.trial.host import describe_host, git_state, package_versions
from greenbench.trial.sensors import cards_to_read, device_name, record_idle, record_sensors, record_troubles

POLL_S = 0.25
STOP_GRACE_S = 120.0

Watcher = Callable[[dict[str, Any]], None]


def write_manifest(
    folder: Path, plan: TrialPlan, suite: Suite, corpora: list[Corpus], grid: Grid, argv: list[str]
) -> None:
    """Write ``manifest.json``, the first file of a trial.

    ``corpora`` holds the corpus to pretrain on and, where it is another one, the corpus to score on.
    """
    spec = asdict(contestant(plan, suite))
    write_json(
        folder / MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            "suite": suite.suite.name,
            "label": plan.label,
            "card": spec["card"],
            "family": plan.family,
            "size": plan.size,
            "seed": plan.seed,
            "control": plan.control,
            "folder": folder.name,
            "argv": argv,
            "config": as_table(suite),
            "spec": spec,
            "train": as_table(plan.train),
            "config_hash": plan.config_hash,
            "git": git_state(),
            "packages": package_versions(),
            "host": describe_host(),
            "gpu": [],
            "data": _data_table(corpora[0]),
            "evaluate_data": _data_table(corpora[-1]),
            "carbon": carbon_table(grid, suite.carbon),
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )


def _data_table(corpus: Corpus) -> dict[str, Any]:
    return {**summarise(corpus), "spec": corpus.spec, "fingerprint": corpus.fingerprint}


def contestant(plan: TrialPlan, suite: Suite) -> ModelSpec:
    """Return the model behind a trial; the control ``logmel`` is a card too."""
    return plan.spec or resolve(plan.control, suite.suite.size)


def execute(folder: Path, suite: Suite, watch: Watcher) -> dict[str, Any]:
    """Run one session of the trial in ``folder`` to its result.

    ``watch`` receives a small dict several times a second (phase, loss, watts …) for the display.
    Raises :class:`Interrupted` when the user stopped it (a checkpoint was written) and :class:`TrialFailed`.
    """
    for stale in (RESULT, OUTCOME):
        (folder / stale).unlink(missing_ok=True)
    events = Journal(folder / EVENTS)
    session = sum(e.get("event") == "session" for e in read_jsonl(folder / EVENTS))
    train = read_json(folder / MANIFEST).get("train", {})
    device = device_name(train.get("device", suite.train.device))
    sampler = SamplerProcess(
        folder / POWER,
        folder / LIVE,
        hz=suite.power.hz,
        sources=suite.power.sources,
        tdp_w=suite.power.tdp_w,
        devices=cards_to_read(suite, device),
    )
    try:
        with sampler, (folder / "worker.log").open("ab") as log:
            record_sensors(folder, sampler.ready, events)
            _wait_until_quiet(suite, watch)
            events.write(event="session", session=session, load=os.getloadavg()[0])
            record_idle(suite, sampler, events, device)
            code = _supervise(folder, sampler, log, watch)
            events.write(event="exit", code=code, load=os.getloadavg()[0])
    finally:
        record_troubles(events, sampler.warnings)
    (folder / LIVE).unlink(missing_ok=True)
    return _conclude(folder, code)


def _conclude(folder: Path, code: int) -> dict[str, Any]:
    """Write the result of a session that ended with ``code``, or say why there is none."""
    if code == Interrupted.exit_code:
        raise Interrupted(f"{folder.name}: stopped; a checkpoint was written")
    if not (folder / OUTCOME).exists():
        raise TrialFailed(
            f"{folder.name}: the trainer ended with code {code} and no result; see {folder / 'worker.log'}"
        )
    result = finish(folder)
    if result["status"] != "ok":
        raise TrialFailed(f"{folder.name}: {result['error']}")
    return result


def _wait_until_quiet(suite: Suite, watch: Watcher) -> None:
    """Wait until the other processes leave the machine's cores mostly alone, for a limited time."""
    import psutil

    protocol, deadline = suite.protocol, time.monotonic() + suite.protocol.quiet_wait_seconds
    psutil.cpu_percent()
    while protocol.quiet_wait_seconds > 0:
        load = psutil.cpu_percent(interval=0.5) / 100
        if load <= protocol.quiet_load or time.monotonic() > deadline:
            return
        watch({"phase": "waiting for a quiet machine", "text": f"{load:.0%} busy"})


def _supervise(folder: Path, sampler: SamplerProcess, log: IO[bytes], watch: Watcher) -> int:
    process = subprocess.Popen(
        [sys.executable, "-m", "greenbench.trial.worker", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )
    sampler.edge()
    sampler.watch(process.pid)
    status = Tail(folder, sampler.edge)
    asked_at: float | None = None
    try:
        while _reap(process, sampler) is None:
            try:
                time.sleep(POLL_S)
                watch(status.update())
            except KeyboardInterrupt:
                if asked_at is not None:
                    raise
                asked_at = time.monotonic()
                watch({**status.update(), "text": "stopping: writing a checkpoint"})
                process.send_signal(signal.SIGTERM)
            if asked_at is not None and time.monotonic() - asked_at > STOP_GRACE_S:
                process.kill()
        sampler.edge()
        return int(process.returncode)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _reap(process: subprocess.Popen[bytes], sampler: SamplerProcess) -> int | None:
    """Poll the trainer; when it has ended, tell the sampler its exact CPU time, which /proc no longer shows."""
    if process.returncode is not None:
        return process.returncode
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended(pid, usage.ru_utime + usage.ru_stime)
    return process.returncode


def _environment() -> dict[str, str]:
    """Keep the trainer off the network, quiet, and robust against neighbours.

    Worker threads of OpenMP spin while they wait. As soon as another process wants a core, a spinning thread holds up
    the one it waits for: one busy neighbour made training on two cores 20 times slower. Sleeping threads do not.
    """
    defaults = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}


class Tail:
    """Follows a trial's journals for the display, reading only what was added.

    ``at_edge`` is called soon after a phase has begun or ended: a costly counter is read near the edges, too.
    """

    def __init__(self, folder: Path, at_edge: Callable[[], None]) -> None:
        events = (folder / EVENTS).open("rb")
        events.seek(0, os.SEEK_END)
        self._files: list[IO[bytes] | None] = [events, None]
        self._folder = folder
        self._at_edge = at_edge
        self._live: LiveReader | None = None
        self._status: dict[str, Any] = {"phase": "starting"}

    def update(self) -> dict[str, Any]:
        """Return the newest phase, loss, budget, speed and power."""
        import json

        if self._files[1] is None and (self._folder / METRICS).exists():
            metrics = (self._folder / METRICS).open("rb")
            metrics.seek(0, os.SEEK_END)
            self._files[1] = metrics
        edge = False
        for file in self._files:
            for line in file or ():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    edge |= record.get("event") in ("begin", "end")
                    self._take(record)
        if edge:
            self._at_edge()
        self._status |= self._power()
        return dict(self._status)

    def _take(self, record: dict[str, Any]) -> None:
        if record.get("event") == "begin" and record["phase"] != "checkpoint":
            self._status |= {"phase": record["phase"], "text": ""}
        elif record.get("event") == "progress":
            self._status |= {"text": record["text"], "fraction": record.get("fraction")}
        elif "step" in record and "loss" in record:
            self._status |= {k: record.get(k) for k in ("step", "loss", "spent", "fraction", "audio_s_per_s", "joules")}

    def _power(self) -> dict[str, Any]:
        if self._live is None and (self._folder / LIVE).exists():
            self._live = LiveReader(self._folder / LIVE)
        if self._live is None:
            return {}
        reading = self._live.read()
        return {"power_w": reading.power_w, "energy_j": reading.energy_j, "power_kind": reading.kind}
