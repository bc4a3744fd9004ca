"""The sampler: a process of its own that reads every source and writes the journal and the live cell.

    python -m greenbench.power.sampler.main --journal DIR/power.csv.gz --live DIR/live.bin

It is started by the parent of what is measured, not by the trainer, so it survives the trainer's death. Its
standard input is a pipe from that parent: end of file means finish, lines are JSON commands (``watch``, ``mark``,
``edge``, ``flush``, ``ended``). It prints one JSON line when it is ready, one per ``flush`` and one when it is done.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from greenbench.errors import GreenbenchError
from greenbench.power.journal.file import JournalWriter, boot_id
from greenbench.power.sampler.live import LiveReader, LiveWriter
from greenbench.power.sampler.probe import probe
from greenbench.power.sampler.ticks import Ticks
from greenbench.power.sampler.totals import Totals
from greenbench.power.samples import MEASURED, MODELLED
from greenbench.power.sources.base import Source
from greenbench.power.sources.detect import detect
from greenbench.power.sources.options import check_rate
from greenbench.power.sources.process_tree import ProcessTree

_FLUSH_S = 0.85  # with the longest wait for a tick of 20 Hz less than the second that may be lost
_FAST_FLUSH_S = 0.2  # at 250 Hz a second's readings would take long enough to write to miss the next ones
_BURST_TICK_S = 0.004
_BURST_COUNTERS_S = 0.02  # between readings of costly counters in a burst, for which a quarter of a core is taken
_STDIN = (0,)
_FAST_HZ = 250.0  # where there is no counter, power is integrated: the load's rhythm has to be resolved


class Sampler:
    """Reads the sources on time until it is told to stop."""

    def __init__(self, sources: list[Source], tree: ProcessTree, journal: JournalWriter, live: LiveWriter, hz: float):
        self.sources = [s for s in sources if s.available]
        self.tree = tree
        self.journal = journal
        self.live = live
        self.devices = [d for s in self.sources for d in s.devices]
        self.totals = Totals(self.devices)
        self.period_s = 1.0 / hz
        readable = [d for d in self.devices if not d.missing]
        fast = any(d.kind == MEASURED and d.counted and not d.has_counter for d in readable)
        self.tick_s = min(self.period_s, 1.0 / _FAST_HZ) if fast else self.period_s
        for source in self.sources:
            for device in source.devices:
                fast_one = fast and _without_counter(source)
                device.sample_period_s = self.tick_s if fast_one else max(self.period_s, source.min_period_s)
        self._due_s = [0.0] * len(self.sources)
        self._rest_s = [self._rest(source) for source in self.sources]
        self._missing: set[int] = set()
        periods = [d.update_period_s or 0.1 for d in readable if d.kind == MEASURED and d.counted]
        self._burst_s = 1.2 * max(periods) + 0.02 if periods else 0.0
        self._burst_until_s = 0.0
        latency_s = sum(d.read_latency_s or 0.0 for d in self.devices if d.kind == MEASURED)
        self._burst_counters_s = min(4 * latency_s, _BURST_COUNTERS_S)
        self._stop = False
        self._parent = os.getppid()
        self._buffer = b""
        self.ticks = Ticks(self.tick_s)

    def run(self) -> None:
        """Sample until end of file on standard input, SIGTERM, or the parent's death."""
        flush_at_s = time.monotonic()
        flush_s = _FAST_FLUSH_S if self.tick_s < self.period_s else _FLUSH_S
        while not self._stop:
            now = time.monotonic()
            self.sample(now)
            if now >= flush_at_s:
                self.journal.flush()
                flush_at_s = now + flush_s
                self._stop = self._stop or os.getppid() != self._parent
            self._wait(self.ticks.next_ns(time.monotonic_ns()) * 1e-9)
            if self._burst_until_s > now:
                self._burst()
        self.sample(time.monotonic(), full=True)
        self.journal.warnings.extend(f"there was no process {pid} to watch" for pid in sorted(self._missing))

    def sample(self, now_s: float, *, full: bool = False) -> None:
        """Read the sources that are due and publish the total.

        A ``full`` reading, as a window's edge needs it, is of all of them, of what costs much too, and of children that
        came and went.
        """
        if full:
            self.tree.update(rescan=True)
        due_s = self._due_s
        for index, source in enumerate(self.sources):
            if now_s < due_s[index] and not full:
                continue
            due_s[index] = now_s + self._rest_s[index]
            self._take(source, full=full)
        t_ns = time.monotonic_ns()
        self.live.write(t_ns, self.totals.now(t_ns))

    def _take(self, source: Source, *, full: bool) -> None:
        for reading in source.read_full() if full else source.read():
            self.journal.sample(reading)
            self.totals.add(reading)

    def _rest(self, source: Source) -> float:
        """For how long a source that was just read is left alone."""
        period_s = self.tick_s if _without_counter(source) else max(self.period_s, source.min_period_s)
        # Half a period early is on time: jittered ticks must not make a source skip every other one.
        return max(period_s - self.period_s / 2, 0.0) if period_s > self.tick_s else 0.0

    def _burst(self) -> None:
        """Read quickly from a window's edge to the counter's next update: only power tells what lies between."""
        counters_at_s = 0.0
        while not self._stop and (now := time.monotonic()) < self._burst_until_s:
            counters = now >= counters_at_s
            for source in self.sources:
                if source.devices[0].kind == MEASURED and source.min_period_s == 0.0:
                    self._take(source, full=counters)
            if counters:
                counters_at_s = now + self._burst_counters_s
            self._wait(now + _BURST_TICK_S)

    def _wait(self, until_s: float) -> None:
        while not self._stop and (left_s := until_s - time.monotonic()) > 0:
            if not select.select(_STDIN, (), (), left_s)[0]:
                return
            self._commands()
            if self._burst_until_s > until_s - self.tick_s > 0 and self._burst_until_s > time.monotonic():
                return

    def _commands(self) -> None:
        try:
            data = os.read(0, 65536)
        except InterruptedError:
            return
        if not data:
            self._stop = True
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            try:
                command = json.loads(line)
            except ValueError:
                self.journal.warnings.append(f"unreadable command: {line[:80]!r}")
                continue
            self._obey(command)

    def _obey(self, command: dict[str, Any]) -> None:
        if "watch" in command:
            self.sample(time.monotonic(), full=True)  # ends what is not attributed to this process
            if not self.tree.watch(int(command["watch"]), again=bool(command.get("again"))):
                self._missing.add(int(command["watch"]))  # a short command: its end is reported with its CPU time
        if "ended" in command:
            self._missing.discard(int(command["ended"]))
            self.tree.update()
            self.tree.correct(int(command["ended"]), float(command["cpu_s"]))
            self._note_left_behind()
            self.sample(time.monotonic(), full=True)
        if "edge" in command:
            self.sample(time.monotonic(), full=True)
            self._burst_until_s = time.monotonic() + self._burst_s
        if "mark" in command or "watch" in command:
            self.journal.comment(t_mono_ns=time.monotonic_ns(), **command)
        if "flush" in command:
            self._burst()  # an edge just before is still waiting for the counter's next update
            self.sample(time.monotonic(), full=True)
            self.journal.flush()
            _say(flushed=time.monotonic_ns(), warnings=self.journal.warnings)

    def _note_left_behind(self) -> None:
        left = self.tree.running()
        if left:
            many = f"{len(left)} processes" if len(left) > 1 else "a process"
            numbers = ", ".join(map(str, left[:5]))
            self.journal.warnings.append(
                f"{many} of the command went on when it had ended (process id {numbers}): what is drawn from then on "
                "is not in the figure"
            )

    def stop(self, *_: object) -> None:
        """Ask the loop to end (a signal handler)."""
        self._stop = True


def _without_counter(source: Source) -> bool:
    return any(not d.has_counter for d in source.devices if not d.missing)


def _say(**values: Any) -> None:
    # A parent that no longer listens must not end the journal.
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(values) + "\n").encode())


def describe(sources: list[Source]) -> list[dict[str, Any]]:
    """What is available and why the rest is not, ready for JSON."""
    return [
        {"name": s.name, "available": s.available, "reason": s.reason, "devices": [d.to_dict() for d in s.devices]}
        for s in sources
    ]


def _warnings(sources: list[Source], asked_for: list[str] | None = None) -> list[str]:
    counted = [d for s in sources for d in s.devices if d.counted]
    usable = [d for d in counted if not d.missing]
    told = [s for s in sources if s.available and s.reason and s.name not in ("cpu", "ram")]
    warnings = [*_missing_cards(sources, asked_for or []), *(f"{s.name}: {s.reason}" for s in told)]
    lacking = [f"{d.device}: {d.missing}" for d in counted if d.missing]
    if not usable:
        reasons = "; ".join([*(f"{s.name}: {s.reason}" for s in sources if s.reason), *lacking])
        reasons = reasons or "no source was asked for"
        return [f"energy is not recorded: {reasons}"]
    if all(d.kind == MODELLED for d in usable):
        warnings.append("no sensor can be read here: energy is modelled, with a wide range")
    warnings.extend(lacking)
    warnings.extend(f"{d.device}: {note}" for d in usable if d.kind == MEASURED for note in d.notes)
    return list(dict.fromkeys(warnings))


def _missing_cards(sources: list[Source], asked_for: list[str]) -> list[str]:
    if not asked_for or any(d.part == "gpu" or d.source == "replay" for s in sources for d in s.devices):
        return []
    reasons = "; ".join(f"{s.name}: {s.reason}" for s in sources if s.name in ("nvml", "amd"))
    return [f"no GPU of {','.join(asked_for)} is read: {reasons or 'no source of GPUs is asked for'}"]


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="greenbench.power.sampler.main", description=__doc__.splitlines()[0])
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--live", type=Path, required=True)
    parser.add_argument("--hz", type=float, default=20.0)
    parser.add_argument("--sources", default="auto", help="auto, none, or nvml,amd,apple,rapl,cpu,ram,replay:FILE")
    parser.add_argument("--devices", default=None, help="cuda:N, hip:N, GPU-<uuid>, MIG-<uuid>; default: those shown")
    parser.add_argument("--tdp-w", type=float, default=None)
    parser.add_argument("--mark", default="", help="a text in the environment of what is watched")
    parser.add_argument("--after-death", action="store_true", help="go on where a sampler that died has ended")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the sampler process."""
    arguments = _arguments(argv)
    # A trainer on every core must not make readings late; it can take less than one per cent of a core from it.
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command; the parent ends the sampler
    tree = ProcessTree(arguments.mark)
    names = None if arguments.devices is None else [u for u in arguments.devices.split(",") if u]
    try:
        check_rate(arguments.hz, arguments.tdp_w)
        sources = detect(arguments.sources, names, arguments.tdp_w, tree)
        journal = JournalWriter(arguments.journal)
        former = LiveReader(arguments.live) if arguments.after_death and arguments.live.exists() else None
        live = LiveWriter(arguments.live)
    except (GreenbenchError, OSError) as error:
        _say(error=str(error))
        return 2
    early = probe(sources)
    sampler = Sampler(sources, tree, journal, live, arguments.hz)
    signal.signal(signal.SIGTERM, sampler.stop)
    header = {
        "boot_id": boot_id(),
        "t_mono_ns": time.monotonic_ns(),
        "t_wall_s": time.time(),
        "hz": arguments.hz,
        "after_death": arguments.after_death,
        "devices": [d.to_dict() for d in sampler.devices],
        "sources": [{"name": s.name, "available": s.available, "reason": s.reason} for s in sources],
    }
    journal.comment(segment=header)
    for reading in early:
        journal.sample(reading)
    if former is not None:
        live.go_on_from(former.read())
        former.close()
    sampler.sample(time.monotonic(), full=True)
    journal.flush()
    _say(ready=True, pid=os.getpid(), sources=describe(sources), hz=arguments.hz, warnings=_warnings(sources, names))
    gc.freeze()  # a collection that walks everything the start left behind would take longer than a reading
    try:
        sampler.run()
    finally:
        usage = time.process_time()
        journal.comment(end={"t_mono_ns": time.monotonic_ns(), "cpu_s": usage, "warnings": journal.warnings})
        journal.close()
        live.close()
        for source in sources:
            source.close()
        _say(done=True, cpu_s=usage, warnings=journal.warnings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
