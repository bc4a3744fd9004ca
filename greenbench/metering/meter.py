"""The meter for users: ``with greenbench.Meter() as m: ... with m.phase("train"): ...``."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from greenbench.metering.meter_record import RecordBook
from greenbench.metering.queued_work import finish_queued_work
from greenbench.power.sampler.live import LiveReader
from greenbench.power.sampler.process import MARK_VARIABLE, SamplerProcess

if TYPE_CHECKING:
    from greenbench.power.journal.trace import Trace
    from greenbench.power.journal.window_energy import WindowEnergy

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Phase:
    """A named part of a metered block; ``energy`` is filled in when the meter closes.

    ``path`` names the enclosing phases too: ``train/epoch``.
    """

    name: str
    path: str
    begin_ns: int
    end_ns: int | None = None
    energy: WindowEnergy | None = None
    begin_j: float | None = field(default=None, repr=False)
    end_j: float | None = field(default=None, repr=False)
    _live_j: Callable[[], float | None] = field(default=lambda: None, repr=False)

    @property
    def duration_s(self) -> float | None:
        """Seconds; None while the phase is open."""
        return None if self.end_ns is None else (self.end_ns - self.begin_ns) * 1e-9

    def joules(self) -> float | None:
        """Joules of the phase: live while the meter runs, the final figure after it; None where nothing can be read."""
        if self.energy is not None:
            return self.energy.energy_j
        now_j = self._live_j() if self.end_ns is None else self.end_j
        return None if now_j is None or self.begin_j is None else max(0.0, now_j - self.begin_j)


class Meter:
    """Meters the enclosed code: this process, its children and the GPUs it sees.

    The readings are taken by a process of their own; inside this one there is no thread. Trouble with the
    measuring is in ``warnings``; it never raises and never stops the code.

    Args:
        journal: where to keep the raw readings (``power.csv.gz``); default: a temporary folder.
        synchronize: called at the edges of the meter and of every phase, so that work that was only queued is
            finished inside its own phase. Default: ``torch.cuda.synchronize`` where torch is loaded and has started
            CUDA by then (see ``finish_queued_work``); ``lambda: None`` switches it off.
        record: a folder to leave a record in, as a trial leaves one: ``greenbench compare``, ``check``, ``report`` and
            ``export`` read it. The journal lies in it.
        label: the record's name, by which runs are compared; default: the program's.
        region: where the electricity comes from (``FRA``, ``USA-CA``, ``gcp:europe-west9``); without it, no grams.
        hz: readings a second.
        sources: what is read: ``auto``, ``none``, or a list (``nvml,rapl,cpu,ram,replay:FILE``).
        devices: the GPUs (``cuda:0``, ``GPU-<uuid>``); default: those that this environment shows.
        tdp_w: the processor's TDP in watts, where its power is modelled; default: looked up by its name.

    Raises ``ConfigError`` for an unknown region; trouble with ``record``'s folder is an ``OutputError`` on entering.

    After the block: ``energy`` (a ``WindowEnergy``), ``phases`` (a list of ``Phase``), ``trace``. As a decorator
    (``@Meter()``) every call is metered and the meter holds the last one. A meter entered again while it runs (a
    recursive call, a nested block, another thread) goes on metering: what is inside is part of the outermost use.
    """

    def __init__(
        self,
        *,
        journal: Path | str | None = None,
        record: Path | str | None = None,
        label: str = "",
        region: str | None = None,
        synchronize: Callable[[], object] | None = None,
        hz: float = 20.0,
        sources: str = "auto",
        devices: Sequence[str] | None = None,
        tdp_w: float | None = None,
    ) -> None:
        self.energy: WindowEnergy | None = None
        self.trace: Trace | None = None
        self.phases: list[Phase] = []
        self.warnings: list[str] = []
        self._journal = None if journal is None else Path(journal)
        self._book = RecordBook(record, label, region)
        self._synchronize = synchronize
        self._options: dict[str, Any] = {"hz": hz, "sources": sources, "devices": devices, "tdp_w": tdp_w}
        self._sampler: SamplerProcess | None = None
        self._live: LiveReader | None = None
        self._folder: Path | None = None
        self._open: list[Phase] = []
        self._begin_ns = 0
        self._unmarked: str | None = None
        self._start_j = 0.0
        self._depth = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Meter:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                try:
                    self._start()
                except BaseException:  # a synchronize of the user's own that raises: no sampler may stay behind
                    self._depth = 0
                    self._finish(time.monotonic_ns())
                    raise
        return self

    def _start(self) -> None:
        self.energy, self.trace, self.phases, self.warnings, self._open = None, None, [], [], []
        kept = self._book.open()
        self._folder = Path(tempfile.mkdtemp(prefix="greenbench-meter-"))
        journal = self._journal or kept or self._folder / "power.csv.gz"
        self._sampler = SamplerProcess(journal, self._folder / "live.bin", **self._options)
        self._sampler.start()
        self._sampler.watch(os.getpid())
        self._unmarked = os.environ.get(MARK_VARIABLE)
        os.environ.update({MARK_VARIABLE: self._sampler.marked(os.environ)[MARK_VARIABLE]})
        with contextlib.suppress(OSError, ValueError):
            self._live = LiveReader(self._folder / "live.bin")
        self._settle()
        self._begin_ns = self._edge()
        # The sampler has counted since its own start: what it saw before this moment is not the block's.
        self._start_j = (self._live.read().energy_j if self._live else None) or 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._close(error)

    def _close(self, error: BaseException | None) -> None:
        # A failed block may have left the device unusable: synchronising it again would hide the real error.
        try:
            self._settle(quiet=error is not None)
        finally:
            end_ns = self._edge()
            for phase in self._open:
                phase.end_ns = end_ns
            self._finish(end_ns)
            self._book.close(self, self._begin_ns, end_ns, error)

    def __call__(self, function: F) -> F:
        """Meter every call of ``function``."""

        @functools.wraps(function)
        def metered(*arguments: Any, **options: Any) -> Any:
            with self:
                return function(*arguments, **options)

        return metered  # type: ignore[return-value]

    def _edge(self) -> int:
        moment_ns = time.monotonic_ns()
        if self._sampler is not None:
            self._sampler.keep_alive()
            self._sampler.edge()
        return moment_ns

    def _settle(self, *, quiet: bool = False) -> None:
        if self._synchronize is None:
            trouble = finish_queued_work()
            if trouble is not None and trouble not in self.warnings:
                self.warnings.append(trouble)
            return
        if not quiet:
            self._synchronize()
            return
        with contextlib.suppress(Exception):
            self._synchronize()

    def _finish(self, end_ns: int) -> None:
        sampler, self._sampler = self._sampler, None
        if sampler is None:
            return
        if self._unmarked is None:
            os.environ.pop(MARK_VARIABLE, None)
        else:
            os.environ[MARK_VARIABLE] = self._unmarked
        sampler.flush()
        sampler.stop()
        self._book.ready = sampler.ready
        self.warnings.extend(sampler.warnings)
        if self._live is not None:
            self._live.close()
            self._live = None
        from greenbench.power.journal.trace import read_journal

        try:
            self.trace = read_journal(sampler.journal)
        except OSError as error:
            self.warnings.append(f"the journal cannot be read: {error}")
        else:
            self.energy = self.trace.window(self._begin_ns, end_ns)
            for phase in self.phases:
                phase.energy = self.trace.window(phase.begin_ns, phase.end_ns or end_ns)
            self.warnings.extend(p for p in self.energy.problems if p not in self.warnings)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Book the enclosed code under ``name``; phases nest and may repeat."""
        self._settle()
        path = "/".join([*(p.name for p in self._open), name])
        phase = Phase(name, path, self._edge(), begin_j=self.joules(), _live_j=self.joules)
        self._book.event("begin", path)
        self.phases.append(phase)
        self._open.append(phase)
        failed = True
        try:
            yield phase
            failed = False
        finally:
            self._settle(quiet=failed)
            phase.end_ns, phase.end_j = self._edge(), self.joules()
            self._book.event("end", path)
            if phase in self._open:
                self._open.remove(phase)

    def start(self) -> Meter:
        """Begin without a block, as in a cell of a notebook; ``stop()`` ends it, and so does the end of the process."""
        return self.__enter__()

    def stop(self) -> None:
        """End what ``start()`` began; nothing happens where no meter runs."""
        if self._depth:
            self.__exit__(None, None, None)

    def declare(self, **directions: str) -> None:
        """Say what is better for a metric that is logged: ``declare(accuracy="higher", loss="lower")``.

        Raises:
            ConfigError: an unknown direction, or the name of one of greenbench's own metrics.
        """
        self._book.declare(directions)

    def log(self, step: int | None = None, **figures: float) -> None:
        """Note figures of one's own, with the joules and seconds so far; the last of each name is the record's.

        Raises:
            ConfigError: a value that is no number, or the name of one of greenbench's own metrics.
        """
        elapsed_s = (time.monotonic_ns() - self._begin_ns) * 1e-9
        self._book.log(figures, step, joules=self.joules(), seconds=elapsed_s, grams=self.co2e_g)

    @property
    def co2e_g(self) -> float | None:
        """Grams of CO2 equivalent since the block began, live inside it; None without a region or without joules."""
        return self._book.grams(self.joules())

    def joules(self) -> float | None:
        """Joules since the block began: live inside it, the final figure after it; None where nothing can be read."""
        if self._live is not None:
            energy_j = self._live.read().energy_j
            return None if energy_j is None else max(0.0, energy_j - self._start_j)
        return self.energy.energy_j if self.energy is not None else None
