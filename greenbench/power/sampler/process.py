"""Start, command and stop the sampler from its parent; measuring trouble becomes a warning, never an exception."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_READY_S = 20.0
_ANSWER_S = 5.0
MARK_VARIABLE = "GREENBENCH_METERED"


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
        command = [sys.executable, "-m", "greenbench.power.sampler.main"]
        command += ["--journal", str(self.journal), "--live", str(self.live), *self._options]
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
        if answer is None:
            self._trouble("the power sampler did not become ready; energy is not recorded")
            self.stop()
            return
        self.ready = answer
        self.warnings.extend(answer.get("warnings", []))

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
        self._send(watch=pid)

    def mark(self, text: str) -> None:
        """Write a remark with the present time into the journal."""
        self._send(mark=text)

    def edge(self) -> None:
        """Say that a window begins or ends now: the sampler reads quickly until the counter's next update."""
        self._send(edge=True)

    def ended(self, pid: int, cpu_s: float) -> None:
        """Pass on the exact CPU seconds of a watched process that has ended (from wait4, children included)."""
        self._send(ended=pid, cpu_s=cpu_s)

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
