"""One run folder: the command is started, killed as chosen and started again until it ends by itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.kills.choice import PHASES, Kill
from tests.kills.commands import command, environment
from tests.kills.stops import Stopped, Stops

ROLES = {"trainer": "greenbench.trial.worker", "sampler": "greenbench.power.sampler.main"}
PHASE_NAMES = {
    "pretrain": "training",
    "compile": "training",
    "evaluate": "evaluation",
    "setup": "start",
    "idle": "start",
}
_ORDER = list(PHASES)
_MOST_STARTS = 60
_LINGER_S = 10.0


@dataclass
class Folders:
    """``small`` is where a run writes, on a disk that can be filled; the rest is beside it."""

    small: Path
    rest: Path
    model: str = "eco"

    @property
    def out(self) -> Path:
        return self.small / "out"

    @property
    def cache(self) -> Path:
        return self.small / "cache"

    @property
    def speech(self) -> Path:
        return self.rest / "speech"

    @property
    def filler(self) -> Path:
        return self.small / "filler"

    def fill(self, leave: int) -> None:
        """Fill the disk but for some bytes."""
        state = os.statvfs(self.small)
        size = state.f_bavail * state.f_frsize - leave
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def start(self, more: dict[str, str], errors: Path) -> subprocess.Popen[bytes]:
        with errors.open("wb") as file:
            return subprocess.Popen(
                command(self.out, self.speech, self.model),
                env={**environment(self.cache, self.rest / "compiled"), **more},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )


@dataclass
class Round:
    """What became of the kills of one run folder."""

    folders: Folders
    stops: Stops
    pending: list[Kill]
    note: Callable[[dict[str, Any]], None]
    done: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _armed: Kill | None = None

    def run(self) -> None:
        """Kill and start again until the command ends with code 0; what was not hit by then stays in ``pending``."""
        for path in (self.folders.out, self.folders.cache):
            shutil.rmtree(path, ignore_errors=True)
        try:
            self._run()
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _run(self) -> None:
        while self.starts < _MOST_STARTS:
            if self._process is None:
                self.starts += 1
                self._arm()
                self._process = self.folders.start(self.stops.environment, self._errors)
            stopped = self.stops.wait(0.2)
            if stopped is not None and self._armed is not None:
                self._kill(self._armed, stopped)
            elif self._process.poll() is not None and self._ended(self._process.returncode):
                return
        self.faults.append(f"the command did not come to its end in {_MOST_STARTS} starts")

    def _arm(self, passed: int = -1) -> None:
        """Plan the next kill: the first in the order of phases of those that this start has not passed."""
        reached = [kill for kill in self.pending if _ORDER.index(kill.phase) > passed]
        self._armed = min(reached, key=lambda kill: _ORDER.index(kill.phase), default=None)
        if self._armed is not None and self._armed.phase == "features":  # they are to be computed, not to be found
            shutil.rmtree(self.folders.cache / "features", ignore_errors=True)
        self.stops.arm(self._armed.stop if self._armed else None)

    @property
    def _errors(self) -> Path:
        return self.folders.rest / "stderr"

    def _ended(self, code: int) -> bool:
        """Whether the command has come to its end; a failure must be one of a killed trainer or of a full disk."""
        self._process = None
        self._look_for_tracebacks("")
        if code not in (0, 4):
            self.faults.append(f"exit code {code}: {self._errors.read_text(errors='replace')[-500:]}")
        return code == 0

    def _look_for_tracebacks(self, where: str) -> None:
        texts = [self._errors, *self.folders.out.glob("*/worker.log"), *self.folders.out.glob("*/traceback.txt")]
        for path in texts:
            if path.exists() and "Traceback" in (text := path.read_text(errors="replace")):
                self.faults.append(f"a traceback in {path.name} {where}: {text[-900:]}")
                path.unlink()

    def _kill(self, kill: Kill, stopped: Stopped) -> None:
        assert self._process is not None
        if kill.trouble == "disk":
            self.folders.fill(kill.free_bytes)
        elif kill.trouble == "clock":
            self.stops.step_clock(kill.clock_step_s)
        if kill.delay_s or kill.trouble == "disk":
            _signal(stopped.pid, signal.SIGCONT)
            time.sleep(kill.delay_s)
        facts = {
            "number": kill.number,
            "wanted": kill.phase,
            "trouble": kill.trouble,
            "at": f"{stopped.op} {stopped.path}",
        }
        if self._process.poll() is not None:
            ended = self._errors.read_text(errors="replace")
            self.note({"kind": "ended", **facts, "code": self._process.returncode, "said": ended[-300:]})
            self.folders.filler.unlink(missing_ok=True)
            if self._process.returncode not in (2, 4) or not ended.strip():
                self.faults.append(f"on a full disk: code {self._process.returncode}, {ended[-300:]!r}")
            self._look_for_tracebacks(f"after kill {kill.number} ({kill.trouble})")
            self._process = None
            return
        self._hit(kill, stopped, facts)

    def _hit(self, kill: Kill, stopped: Stopped, facts: dict[str, Any]) -> None:
        assert self._process is not None
        alive = _alive(self._process.pid)
        hit = kill.victim if kill.victim == "all" or kill.victim in alive else "harness"
        t_mono_ns = time.monotonic_ns()
        for pid in alive.values() if hit == "all" else [alive[hit]]:
            _signal(pid, signal.SIGKILL)
        trial, phase = standing(self.folders.out)
        if kill.phase == "start" and "trainer" not in alive:
            phase = "start"  # what the folder says is where the session before this one ended
        _signal(stopped.pid, signal.SIGCONT)
        known = {"hit": hit, "phase": phase, "trial": trial, "t_mono_ns": t_mono_ns, "sampled": "sampler" in alive}
        row = {"kind": "kill", **facts, **known, "clock_s": self.stops.clock_s}
        if hit in ("harness", "all"):
            self._process.wait()
            self._process = None
            if not kill.at_once or kill.trouble == "disk":
                row["gone_s"] = self._wait_until_gone(alive, t_mono_ns)
        if kill.trouble == "disk":
            self.folders.filler.unlink(missing_ok=True)
            if self._process is None:
                self._look_for_tracebacks(f"after kill {kill.number} ({kill.trouble})")
        self.done.append(row)
        self.note(row)
        self.pending.remove(kill)
        if hit == "sampler":
            self._arm(_ORDER.index(phase) if phase in _ORDER else 0)
        else:
            self.stops.arm(None)  # until the next start

    def _wait_until_gone(self, alive: dict[str, int], since_ns: int) -> float:
        while any(_runs(pid) for pid in alive.values()):
            waited_s = (time.monotonic_ns() - since_ns) * 1e-9
            if waited_s > _LINGER_S:
                self.late.append(f"still running {waited_s:.0f} s after the kill: {alive}")
                break
            time.sleep(0.05)
        return round((time.monotonic_ns() - since_ns) * 1e-9, 2)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _alive(harness: int) -> dict[str, int]:
    """Process ids by role."""
    found = {"harness": harness}
    for child in psutil.Process(harness).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = child.cmdline() if child.status() != psutil.STATUS_ZOMBIE else []
            found.update({role: child.pid for role, module in ROLES.items() if module in line})
    return found


def standing(out: Path) -> tuple[str, str]:
    """Which trial a run has come to, and in which phase: the innermost that has begun and not ended."""
    journals = sorted(out.glob("*/events.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    if not journals:
        return "", "start"
    folder = journals[-1].parent
    open_ones: list[str] = []
    last = "start"
    for line in journals[-1].read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == "session":
                open_ones, last = [], "start"
            elif event.get("event") == "begin":
                open_ones.append(event["phase"])
                last = event["phase"]
            elif event.get("event") == "end" and open_ones:
                open_ones.pop()
    if (folder / "outcome.json").exists() or (last == "evaluate" and not open_ones):
        return folder.name, "result"
    name = open_ones[-1] if open_ones else last
    return folder.name, PHASE_NAMES.get(name, name)
