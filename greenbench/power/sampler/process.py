"""Start, command and stop the sampler from its parent; measuring trouble becomes a warning, never an exception."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from greenbench.power.sampler.live import LiveReader

_READY_S = 20.0
_ANSWER_S = 5.0
_HUNG_S = 5.0  # without a word: at 20 Hz beside any load
_MOST_DEATHS = 5
MARK_VARIABLE = "GREENBENCH_METERED"


def _how(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


class SamplerProcess:
    """The sampler as a context manager: ``.ready`` after entering, ``.watch(pid)``, ``.stop()``.

    Args:
        journal: ``power.csv.gz``; appended to if it exists (one more segment).
        live: the live cell for ``LiveReader``.
        hz: sampling rate; devices without an energy counter are read at 250 Hz or more.
        sources, devices, tdp_w: see ``greenbench.power.sources.detect``.
    """

    def __init__(
        self,
        journal: Path | str,
        live: Path | str,
        *,
        hz: float = 20.0,
        sources: str = "auto",
        devices: Sequence[str] | None = None,
        tdp_w: float | None = None,
    ) -> None:
        self.journal = Path(journal)
        self.live = Path(live)
        self.ready: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.cpu_s: float | None = None
        self._options = ["--hz", str(hz), "--sources", sources]
        if devices is not None:
            self._options += ["--devices", ",".join(devices)]
        if tdp_w is not None:
            self._options += ["--tdp-w", str(tdp_w)]
        self._mark = f"{os.getpid()}-{time.monotonic_ns():x}"
        self._options += ["--mark", self._mark]
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._watched: list[int] = []
        self._deaths = self._failed_starts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the sampler, None where it did not start."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the sampler is alive."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> SamplerProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it reads its sources."""
        self._begin([])

    def keep_alive(self) -> bool:
        """Start the sampler anew if it has died, or says nothing any more; False where it does not come back.

        To be called several times a second by whoever waits for what is metered. The journal and the live figure go
        on; the time between is modelled by the power around it, and a warning says so.
        """
        process = self._process
        if process is None or not self.ready:
            return False
        silent_s = self._silent_s()
        code = process.poll()
        if code is None and silent_s < _HUNG_S:
            return True
        if self._deaths >= _MOST_DEATHS:
            self._trouble(f"the power sampler died {_MOST_DEATHS} times and is not started again")
            return False
        self._deaths += 1
        how = f"was silent for {silent_s:.0f} s" if code is None else f"died ({_how(code)})"
        self._trouble(
            f"the power sampler {how} and was started anew: the time between is modelled (no. {self._deaths})"
        )
        self._discard(process)
        self._begin(["--after-death"])
        for pid in self._watched:
            self._send(watch=pid, again=True)
        return self.running

    def _silent_s(self) -> float:
        """For how long the live figure has stood still."""
        try:
            reader = LiveReader(self.live)
        except (OSError, ValueError):
            return 0.0  # it has no cell: whether it lives is all that can be said
        age_s = reader.read().age_s
        reader.close()
        return age_s

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        """End a process that is of no use any more, and forget what it said."""
        self._buffer, self.ready = b"", {}
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _begin(self, more: Sequence[str]) -> None:
        command = [sys.executable, "-m", "greenbench.power.sampler.main"]
        command += ["--journal", str(self.journal), "--live", str(self.live), *self._options, *more]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment(),
                start_new_session=True,  # a signal to the trainer's group must not end the journal
            )
        except OSError as error:
            self._trouble(f"the power sampler does not start: {error}")
            return
        answer = self._answer("ready", _READY_S)
        if answer is None and self._killed_before_ready(self._process):
            self._begin(more)
            return
        if answer is None:
            self._trouble("the power sampler did not become ready; energy is not recorded")
            self.stop()
            return
        self.ready = answer
        self.warnings.extend(answer.get("warnings", []))

    def _killed_before_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether a signal ended it, so that another try may do better; what it refused it would refuse again."""
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            return False
        if code >= 0 or self._failed_starts >= _MOST_DEATHS:
            return False
        self._failed_starts += 1
        self._trouble(f"the power sampler died ({_how(code)}) while it started, and was started anew")
        self._discard(process)
        return True

    @staticmethod
    def _environment() -> dict[str, str]:
        environment = dict(os.environ)
        # The package may be used from a checkout that is not installed; the sampler must find the same one.
        root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        return environment

    def marked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment for what is to be watched, by which it is found again wherever it goes."""
        marks = [text for text in (environment.get(MARK_VARIABLE), self._mark) if text]
        return {**environment, MARK_VARIABLE: ":".join(marks)}

    def watch(self, pid: int) -> None:
        """Attribute CPU time and memory to this process and its children from now on."""
        self._watched.append(pid)
        self._send(watch=pid)

    def mark(self, text: str) -> None:
        """Write a remark with the present time into the journal."""
        self._send(mark=text)

    def edge(self) -> None:
        """Say that a window begins or ends now: the sampler reads quickly until the counter's next update."""
        self._send(edge=True)

    def ended(self, pid: int, cpu_s: float) -> None:
        """Pass on the exact CPU seconds of a watched process that has ended (from wait4, children included)."""
        # A sampler that came later does not know what was used before it: there is nothing to correct by the whole.
        self._send(ended=pid, cpu_s=0.0 if self._deaths else cpu_s)

    def flush(self) -> bool:
        """Read everything once more and write it out; False where the sampler did not answer."""
        self._send(flush=True)
        return self._answer("flushed", _ANSWER_S) is not None

    def stop(self) -> None:
        """Finish the journal and end the process."""
        process, self._process = self._process, None
        if process is None:
            return
        self._process = process
        self._close_stdin(process)
        answer = self._answer("done", _ANSWER_S)
        self._process = None
        if answer is not None:
            self.cpu_s = answer.get("cpu_s")
            self.warnings.extend(w for w in answer.get("warnings", []) if w not in self.warnings)
        elif self.ready:
            self._trouble("the power sampler ended early; the journal holds what it wrote before")
        try:
            process.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @staticmethod
    def _close_stdin(process: subprocess.Popen[bytes]) -> None:
        try:
            if process.stdin is not None:
                process.stdin.close()
        except OSError:
            return  # it is gone already; stop() says so

    def _send(self, **command: Any) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            self._trouble("the power sampler is no longer running")

    def _answer(self, key: str, timeout_s: float) -> dict[str, Any] | None:
        if self._process is None or self._process.stdout is None:
            return None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue
                if "error" in answer:
                    self._trouble(str(answer["error"]))
                if key in answer:
                    return dict(answer)
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(descriptor, 65536) if readable else b""
            if not data:
                return None
            self._buffer += data

    def _trouble(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
