"""The metering side of a trial: it starts the sampler outside the trainer, then the trainer, and writes the result."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from greenbench.config import Suite
from greenbench.errors import Interrupted, TrialFailed
from greenbench.power.sampler.process import SamplerProcess
from greenbench.progress import Display, TrialStatus
from greenbench.records import EVENTS, LIVE, OUTCOME, POWER, RESULT, Journal, Trial, read_events
from greenbench.trial.finish import finish
from greenbench.trial.sensors import cards_to_read, device_name, record_idle, record_sensors, record_troubles
from greenbench.trial.tail import Tail

POLL_S = 0.25
STOP_GRACE_S = 7.0
"""What a trainer gets to stop by itself; one that writes a checkpoint by then may finish it."""
CHECKPOINT_GRACE_S = 300.0

Watcher = Callable[[TrialStatus], None]


def execute(trial: Trial, suite: Suite, display: Display) -> Trial:
    """Run one session of a trial to its result, and return the trial with it.

    ``suite`` says how to meter and what protocol to keep; a resumed session may do so differently. ``display`` receives
    the trial's status several times a second.

    Raises:
        Interrupted: the user stopped it; the message says what becomes of its work.
        TrialFailed: it ended without a good result; the message says why.
    """
    folder, idle_s = trial.path, suite.protocol.idle_seconds
    for stale in (RESULT, OUTCOME):
        (folder / stale).unlink(missing_ok=True)
    events = Journal(folder / EVENTS)
    session = sum(event.kind == "session" for event in read_events(folder / EVENTS))
    device = device_name((trial.manifest.train or suite.train).device)
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
            trial = record_sensors(trial, sampler.ready, events)
            try:
                _wait_until_quiet(suite, display.update)
                events.write(event="session", session=session, load=os.getloadavg()[0])
                display.update(TrialStatus("idle", f"measuring the machine's idle power, {idle_s:g} s"))
                record_idle(suite, sampler, events, device)
            except KeyboardInterrupt:
                display.note(f"stopping {folder.name}: it has not begun")
                raise
            code, stopped = _supervise(folder, sampler, log, display)
            events.write(event="exit", code=code, load=os.getloadavg()[0])
    finally:
        record_troubles(events, sampler.warnings)
    (folder / LIVE).unlink(missing_ok=True)
    return _conclude(trial, code, stopped=stopped)


def _conclude(trial: Trial, code: int, *, stopped: bool) -> Trial:
    """Write the result of a session that ended with ``code``, or say why there is none.

    A session that was ``stopped`` has not failed, however it ended; one that came to its end nevertheless has a result.
    """
    name = trial.path.name
    if stopped:
        if code == 0 and (trial.path / OUTCOME).exists():
            finish(trial)
        raise Interrupted(f"{name}: stopped")
    if not (trial.path / OUTCOME).exists():
        killed = "; so the kernel ends what takes more memory than there is: lower [train] batch_seconds" * (code == -9)
        log = trial.path / "worker.log"
        raise TrialFailed(f"{name}: the trainer ended with code {code} and no result{killed}; see {log}")
    finished = finish(trial)
    if finished.status != "ok":
        raise TrialFailed(f"{name}: {finished.error}")
    return finished


def _wait_until_quiet(suite: Suite, watch: Watcher) -> None:
    """Wait until the other processes leave the machine's cores mostly alone, for a limited time."""
    import psutil

    protocol, deadline = suite.protocol, time.monotonic() + suite.protocol.quiet_wait_seconds
    psutil.cpu_percent()
    while protocol.quiet_wait_seconds > 0:
        load = psutil.cpu_percent(interval=0.5) / 100
        if load <= protocol.quiet_load or time.monotonic() > deadline:
            return
        watch(TrialStatus("waiting for a quiet machine", f"{load:.0%} busy"))


def _supervise(folder: Path, sampler: SamplerProcess, log: IO[bytes], display: Display) -> tuple[int, bool]:
    """Run the trainer; return its exit code and whether the user asked it to stop."""
    process = subprocess.Popen(
        [sys.executable, "-m", "greenbench.trial.worker", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=sampler.marked(_environment()),
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
                sampler.keep_alive()
                now = status.update()
                display.update(now if asked_at is None else replace(now, text="stopping"))
                if asked_at is not None and _overdue(asked_at, status):
                    _kill(process)
            except KeyboardInterrupt:
                if asked_at is not None:
                    display.note(f"stopping {folder.name} hard: it goes on from its last checkpoint")
                    raise
                asked_at = time.monotonic()
                process.send_signal(signal.SIGTERM)
                display.note(f"stopping {folder.name} in {status.phase}; Ctrl-C again stops hard")
        sampler.edge()
        return int(process.returncode), asked_at is not None
    finally:
        if process.returncode is None:
            _kill(process)
            process.wait()


def _overdue(asked_at: float, status: Tail) -> bool:
    grace_s = CHECKPOINT_GRACE_S if status.in_checkpoint else STOP_GRACE_S
    return time.monotonic() - asked_at > grace_s


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the trainer and the workers it has started: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


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
