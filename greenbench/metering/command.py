"""``greenbench measure -- CMD``: meter any command with its children and the GPUs, and stop it at a budget."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.carbon import Grid, find_grid
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError, did_you_mean
from greenbench.metering.command_carbon import Grams, check_carbon_budget, measured_account
from greenbench.metering.command_record import NO_CHANNEL, Channel, CommandRecord, RecordPlan
from greenbench.metering.command_result import Outcome, build_result, print_table
from greenbench.metering.resident import resident_bytes
from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import SamplerProcess
from greenbench.power.sources.options import Sampling

if TYPE_CHECKING:
    from greenbench.power.journal.trace import Trace

__all__ = ["BUDGETS", "measure_command", "parse_budget", "print_table"]

BUDGETS = ("joules", "seconds", "grams_co2e")
_POLL_S = 0.02
_BLIND_NS = 2_000_000_000  # without a working sensor, before it is worth a warning
_PEAK_MARGIN_BYTES = 4 << 20
GRACE_S = 5.0


def parse_budget(text: str) -> tuple[str, float]:
    """Parse ``joules=500``, ``seconds=60`` or ``grams_co2e=1.5``.

    Raises:
        ConfigError: an unknown currency or a limit that is not a positive number.
    """
    kind, _, limit = text.partition("=")
    if kind not in BUDGETS:
        raise ConfigError(f"--budget {text}: unknown currency {kind!r}{did_you_mean(kind, BUDGETS)}")
    try:
        value = float(limit)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"--budget {text}: the limit must be a positive number, as in {kind}=500")
    return kind, value


def measure_command(
    argv: Sequence[str],
    *,
    budget: tuple[str, float] | None = None,
    sampling: Sampling | None = None,
    carbon: CarbonSection | None = None,
    journal: Path | str | None = None,
    grace_s: float = GRACE_S,
    record: RecordPlan | None = None,
) -> dict[str, Any]:
    """Run a command and return what it cost (the keys of ``measure --json``).

    Args:
        argv: the command and its arguments; its standard streams are inherited.
        budget: ``(currency, limit)`` with a currency of ``BUDGETS``; the command gets SIGTERM at the limit and
            SIGKILL ``grace_s`` seconds later.
        sampling: what is read, and how often.
        carbon: what a suite's ``[carbon]`` can state; without a grid in it there is no CO2 figure.
        journal: where to keep the raw readings; default: nowhere.
        record: where to leave a record for ``compare`` and the like; its folder holds the readings.

    Raises:
        ConfigError: an empty command, an unknown region or source, names that are no GPU, a rate or TDP that cannot
            be, or a carbon budget without a region.
    """
    if not argv:
        raise ConfigError("measure: no command given; write it after --, as in: greenbench measure -- python train.py")
    sampling, settings = sampling or Sampling(), carbon or CarbonSection()
    sampling.check()
    grid = find_grid(settings)
    check_carbon_budget(budget, grid)
    kept = CommandRecord(record, argv, grid) if record else None
    if kept is not None:
        journal = kept.journal
    with _folder() as folder:
        sampler = SamplerProcess(
            Path(journal) if journal else folder / "power.csv.gz", folder / "live.bin", **asdict(sampling)
        )
        with sampler, kept.listening() if kept else contextlib.nullcontext(NO_CHANNEL) as channel:
            outcome = _run(argv, sampler, _Guard(budget, grid, grace_s), channel)
        trace = _trace(sampler)
    span_ns = (outcome.begin_ns, outcome.end_ns)
    window = trace.window(*span_ns) if trace else None
    emitted = measured_account(settings, grid, trace, sampler, span_ns, window.energy_j if window else None)
    result = build_result(argv, outcome, window, sampler, emitted, budget)
    if kept is not None:
        kept.finish(outcome, window, emitted, sampler.ready, result["warnings"])
    return result


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="greenbench-measure-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: Sequence[str], sampler: SamplerProcess, guard: _Guard, channel: Channel) -> Outcome:
    own_bytes = _bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    begin_ns = time.monotonic_ns()
    sampler.edge()
    try:
        environment = {**sampler.marked(os.environ), **channel.environment}
        process = subprocess.Popen(list(argv), env=environment, pass_fds=channel.descriptors)
    except FileNotFoundError as error:
        raise ConfigError(f"measure: no command {argv[0]!r}: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"measure: {argv[0]!r} cannot be started: {error.strerror}") from error
    sampler.watch(process.pid)
    guard.begin(sampler.live, begin_ns)
    with _signals_to(process):
        status, usage, stopped, seen_bytes = _wait(process, guard, sampler)
    end_ns = time.monotonic_ns()
    sampler.edge()
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended(process.pid, usage.ru_utime + usage.ru_stime)
    sampler.flush()
    guard.end()
    if guard.budget is not None and guard.blind_ns > _BLIND_NS:
        kind, limit = guard.budget
        sampler.warnings.append(
            f"--budget {kind}={limit:g}: for {guard.blind_ns * 1e-9:.1f} s no sensor worked: nothing was enforced"
        )
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    peak = peak_bytes(usage.ru_maxrss, own_bytes, seen_bytes)
    return Outcome(code, begin_ns, end_ns, usage.ru_utime + usage.ru_stime, peak, stopped)


class _Guard:
    """Says when the budget is spent, and how long a command that was told to stop may take."""

    def __init__(self, budget: tuple[str, float] | None, grid: Grid, grace_s: float) -> None:
        self.budget, self.grams, self.grace_s = budget, Grams(grid), grace_s
        self.live: LiveReader | None = None
        self.begin_ns, self.start_j = 0, 0.0
        self.blind_ns = self._blind_at_ns = 0

    def begin(self, live: Path, begin_ns: int) -> None:
        """Count from here; without a live figure only seconds can be counted."""
        self.begin_ns = begin_ns
        with contextlib.suppress(OSError, ValueError):
            self.live = LiveReader(live)
            self.start_j = self.live.read().energy_j or 0.0

    def end(self) -> None:
        """Close the live figure."""
        if self.live is not None:
            self.live.close()

    def spent(self) -> float | None:
        """Spent so far in the budget's currency; None where it cannot be known."""
        if self.budget is None:
            return None
        if self.budget[0] == "seconds":
            return (time.monotonic_ns() - self.begin_ns) * 1e-9
        reading = self.live.read() if self.live else None
        if reading is None or reading.energy_j is None:
            return None
        if not reading.working:
            now_ns = time.monotonic_ns()
            self.blind_ns += now_ns - (self._blind_at_ns or now_ns)
            self._blind_at_ns = now_ns
            return None  # neither met nor kept by a figure that stands for nothing
        self._blind_at_ns = 0
        energy_j = reading.energy_j
        energy_j -= self.start_j
        return energy_j if self.budget[0] == "joules" else self.grams.of(energy_j)

    def over(self) -> bool:
        """Whether the limit is reached."""
        spent = self.spent()
        return self.budget is not None and spent is not None and spent >= self.budget[1]


def _bytes(ru_maxrss: int) -> int:
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_bytes(ru_maxrss: int, own_bytes: int, seen_bytes: int | None) -> int | None:
    """The command's peak resident memory, None where it ended before it could be seen.

    Linux starts ``ru_maxrss`` of a command at the peak of the process that started it (the memory it held before
    exec): a figure that is hardly larger is ours, and what was read from /proc stands in for it. Our own peak is known
    to a margin only: the kernel counts pages by processor, and starting the command takes some.
    """
    peak = _bytes(ru_maxrss)
    ours = sys.platform == "linux" and peak <= own_bytes + max(_PEAK_MARGIN_BYTES, own_bytes // 100)
    return seen_bytes if ours else peak


def _wait(
    process: subprocess.Popen[bytes], guard: _Guard, sampler: SamplerProcess
) -> tuple[int, Any, bool, int | None]:
    """Wait for the command; return its status, its usage, whether it was stopped, and the peak memory last seen."""
    stopped, kill_at = False, float("inf")
    seen_bytes: int | None = None
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, usage, stopped, seen_bytes
        seen_bytes = resident_bytes("VmHWM", process.pid) or seen_bytes
        sampler.keep_alive()
        if not stopped and guard.over():
            stopped, kill_at = True, time.monotonic() + guard.grace_s
            _signal_tree(process.pid, signal.SIGTERM)
        if time.monotonic() > kill_at:
            kill_at = float("inf")
            _signal_tree(process.pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _signal_tree(pid: int, number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


@contextlib.contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave Ctrl-C to the command (it gets its own) and pass SIGTERM on to it."""
    try:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate = signal.signal(signal.SIGTERM, lambda *_: _signal_tree(process.pid, signal.SIGTERM))
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def _trace(sampler: SamplerProcess) -> Trace | None:
    from greenbench.power.journal.trace import read_journal

    try:
        return read_journal(sampler.journal)
    except OSError as error:
        sampler.warnings.append(f"the journal cannot be read: {error}")
        return None
