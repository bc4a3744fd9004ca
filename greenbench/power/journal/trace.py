"""A power journal read back: windows of it in joules, and series for plots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from greenbench.power.journal.curve import Floats
from greenbench.power.journal.device_energy import device_energy
from greenbench.power.journal.file import JournalContents, Segment, read_segments
from greenbench.power.journal.hole import hole_energy
from greenbench.power.journal.readings import DeviceReadings, clean
from greenbench.power.journal.window_energy import WindowEnergy, sessions_energy, window_energy
from greenbench.power.samples import DeviceInfo, Sample

_MOST_LOST_NS = 1_000_000_000  # what a killed sampler may take with it


@dataclass
class _Session:
    """One segment's devices as arrays; ``begin_ns .. end_ns`` is what they span."""

    boot_id: str
    origin_ns: int
    begin_ns: int
    end_ns: int
    readings: dict[str, DeviceReadings]
    header: dict[str, Any]

    @property
    def reach_ns(self) -> int:
        """How far an edge may lie beyond the readings: set by the fastest device."""
        gaps = [of_one.max_gap_s for of_one in self.readings.values() if len(of_one.all_t_s)]
        return round(min(gaps, default=0.0) * 1e9)

    @property
    def ended_at_once(self) -> bool:
        """Whether its sampler was killed before it had read, or written out, every device twice."""
        once = any(len(r.all_t_s) < 2 for r in self.readings.values() if r.info.counted and not r.info.missing)
        return once and self.end_ns - self.begin_ns <= _MOST_LOST_NS

    def cut(self, t0_ns: int, t1_ns: int) -> WindowEnergy:
        """The devices' energies between two moments."""
        t0_s, t1_s = (t0_ns - self.origin_ns) * 1e-9, (t1_ns - self.origin_ns) * 1e-9
        devices = [device_energy(of_one, t0_s, t1_s) for of_one in self.readings.values()]
        return window_energy(devices, t1_s - t0_s)


@dataclass
class _Hole:
    """The time between a sampler's death and the first reading of the one that was started in its place."""

    before: _Session
    after: _Session

    @property
    def begin_ns(self) -> int:
        return self.before.end_ns

    @property
    def end_ns(self) -> int:
        return max(self.before.end_ns, self.after.begin_ns)

    def cut(self, t0_ns: int, t1_ns: int) -> WindowEnergy:
        """What the devices are said to have drawn between two moments of it."""
        hole_s, part_s = (self.end_ns - self.begin_ns) * 1e-9, (t1_ns - t0_ns) * 1e-9
        both = [(one, self.after.readings.get(name)) for name, one in self.before.readings.items()]
        return window_energy([hole_energy(one, other, hole_s, part_s) for one, other in both], part_s)


def read_journal(path: Path | str) -> Trace:
    """Read a journal (``power.csv.gz``, or a plain CSV with ``t_s,power_w``).

    Raises:
        OSError: the file cannot be opened.
    """
    return Trace(read_segments(Path(path)))


class Trace:
    """Readings of all sessions of a journal.

    Windows are given in nanoseconds of the monotonic clock, which belongs to one boot of the machine:
    ``boot_id`` selects it and defaults to that of the last session.
    """

    def __init__(self, contents: JournalContents) -> None:
        self.torn_members = contents.torn_members
        self.bad_lines = contents.bad_lines
        self.comments = [comment for segment in contents.segments for comment in segment.comments]
        ends = [end for comment in self.comments if isinstance(end := comment.get("end"), dict)]
        told = [warnings for end in ends if isinstance(warnings := end.get("warnings"), list)]
        self.warnings = [text for warnings in told for text in warnings if isinstance(text, str)]
        self._sessions = [_session(segment) for segment in contents.segments if segment.samples]

    @property
    def devices(self) -> dict[str, DeviceInfo]:
        """Every device seen, by name."""
        return {name: of_one.info for session in self._sessions for name, of_one in session.readings.items()}

    @property
    def headers(self) -> list[dict[str, Any]]:
        """Headers of the sessions that hold readings."""
        return [session.header for session in self._sessions]

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """First and last reading of the last boot; None for an empty journal."""
        sessions = self._of_boot(None)
        return (sessions[0].begin_ns, sessions[-1].end_ns) if sessions else None

    def read_latencies_s(self) -> dict[str, float]:
        """Median seconds per read of every device."""
        return {
            name: float(np.median([s.read_ns for s in of_one.samples])) * 1e-9
            for session in self._sessions
            for name, of_one in session.readings.items()
            if of_one.samples
        }

    def _of_boot(self, boot_id: str | None) -> list[_Session]:
        wanted = boot_id if boot_id is not None else self._sessions[-1].boot_id if self._sessions else ""
        return sorted((s for s in self._sessions if s.boot_id == wanted), key=lambda s: s.begin_ns)

    def total(self) -> WindowEnergy:
        """Energy of everything recorded: all sessions of all boots, without the holes between them.

        A hole between a sampler that died and the one in its place is bridged.
        """
        whole = [s for s in self._sessions if not s.ended_at_once] or self._sessions
        parts = [self._cut([s], s.begin_ns, s.end_ns) for s in whole]
        holes = [_Hole(one, two) for one, two in itertools.pairwise(self._sessions) if two.header.get("after_death")]
        parts += [hole.cut(hole.begin_ns, hole.end_ns) for hole in holes]
        return sessions_energy(parts, sum(p.duration_s for p in parts))

    def window(self, t0_ns: int, t1_ns: int, *, boot_id: str | None = None, across_holes: bool = False) -> WindowEnergy:
        """Cut a window.

        Sessions inside it are summed; a hole between two sessions is never integrated. A hole of more than 1 % of
        the window makes it invalid unless ``across_holes`` says that nothing ran meanwhile (a resumed trial).

        Raises:
            ValueError: the window ends before it begins.
        """
        if t1_ns < t0_ns:
            raise ValueError(f"the window ends {(t0_ns - t1_ns) * 1e-9:g} s before it begins")
        pieces = self._pieces(t0_ns, t1_ns, boot_id)
        if not pieces:
            notes = ["the journal holds no readings of this window"]
            return sessions_energy([], (t1_ns - t0_ns) * 1e-9, notes=notes)
        return self._cut(pieces, t0_ns, t1_ns, across_holes=across_holes)

    def _pieces(self, t0_ns: int, t1_ns: int, boot_id: str | None) -> list[_Session | _Hole]:
        """The sessions that a window touches, and the bridged holes between them, in the order of time."""
        sessions = self._of_boot(boot_id)
        holes = [_Hole(one, two) for one, two in itertools.pairwise(sessions) if two.header.get("after_death")]
        holes = [hole for hole in holes if hole.begin_ns < t1_ns and hole.end_ns > t0_ns]
        # A window's edge in a hole is the hole's, however near the readings of a session are.
        left = {id(hole.before) for hole in holes if hole.begin_ns <= t0_ns}
        left |= {id(hole.after) for hole in holes if hole.end_ns >= t1_ns}
        near = [s for s in sessions if s.end_ns + s.reach_ns >= t0_ns and s.begin_ns - s.reach_ns <= t1_ns]
        pieces: list[_Session | _Hole] = [s for s in near if id(s) not in left]
        pieces += holes
        return sorted(pieces, key=lambda piece: (piece.begin_ns, piece.end_ns))

    def _cut(
        self, pieces: Sequence[_Session | _Hole], t0_ns: int, t1_ns: int, *, across_holes: bool = True
    ) -> WindowEnergy:
        parts: list[WindowEnergy] = []
        hole_ns = 0
        for i, piece in enumerate(pieces):
            begin = t0_ns if i == 0 else max(t0_ns, piece.begin_ns)
            end = t1_ns if i == len(pieces) - 1 else min(t1_ns, piece.end_ns)
            if i:
                hole_ns += max(0, begin - max(t0_ns, pieces[i - 1].end_ns))
            if len(pieces) > 1 and isinstance(piece, _Session) and piece.ended_at_once:
                hole_ns += max(0, end - begin)  # one reading has no joules
                continue
            parts.append(piece.cut(begin, max(begin, end)))
        hole_s, duration_s = hole_ns * 1e-9, (t1_ns - t0_ns) * 1e-9
        if not hole_ns:
            return sessions_energy(parts, duration_s)
        notes = [f"{hole_s:.2f} s between two sessions are not recorded and not counted"]
        whole = sessions_energy(parts, duration_s, hole_s=hole_s, notes=notes)
        missing = hole_ns > 0.01 * (t1_ns - t0_ns) and not across_holes
        return replace(whole, energy=whole.energy.flawed()) if missing else whole

    def series(self, device: str | None = None, max_points: int = 600) -> tuple[Floats, Floats]:
        """Power over time for a plot: ``(t_s, power_w)`` from the first reading, averaged to ``max_points``.

        ``device=None`` is the sum of the counted devices. Holes between sessions hold one NaN.
        """
        pieces = [_series(s, device, max_points // max(1, len(self._sessions))) for s in self._of_boot(None)]
        pieces = [piece for piece in pieces if len(piece[0])]
        if not pieces:
            return np.empty(0), np.empty(0)
        start = pieces[0][0][0]
        t_s, power_w = [pieces[0][0]], [pieces[0][1]]
        for t, power in pieces[1:]:
            t_s += [np.array([(t_s[-1][-1] + t[0]) / 2]), t]
            power_w += [np.array([math.nan]), power]
        return np.concatenate(t_s) - start, np.concatenate(power_w)


def _session(segment: Segment) -> _Session:
    # The order of the header: the readings begin with whichever counter the probe saw move first.
    by_device: dict[str, list[Sample]] = {name: [] for name in segment.devices}
    for sample in segment.samples:
        by_device.setdefault(sample.device, []).append(sample)
    origin = segment.samples[0].t_mono_ns
    readings = {}
    for name, rows in by_device.items():
        info = segment.devices.get(name) or _guess(name, rows)
        if not rows and not info.counted:
            continue
        readings[name] = clean(info, rows, origin)
    times = [t for of_one in readings.values() for t in (*of_one.all_t_s[:1].tolist(), *of_one.all_t_s[-1:].tolist())]
    if not times:
        times = [t for of_one in readings.values() for t in of_one.sample_t_s.tolist()]
    begin, end = (min(times), max(times)) if times else (0.0, 0.0)
    return _Session(
        segment.boot_id, origin, origin + round(begin * 1e9), origin + round(end * 1e9), readings, segment.header
    )


def _guess(name: str, rows: list[Sample]) -> DeviceInfo:
    first = rows[0]
    has_counter = any(row.energy_j is not None for row in rows)
    has_power = any(row.power_w is not None for row in rows)
    return DeviceInfo(
        name,
        first.source,
        first.kind,
        "device",
        has_counter=has_counter,
        power_from="instant" if has_power else "counter",
    )


def _series(session: _Session, device: str | None, max_points: int) -> tuple[Floats, Floats]:
    drawn = [r for name, r in session.readings.items() if (r.info.counted if device is None else name == device)]
    curves = [curve for of_one in drawn if len((curve := of_one.drawn)[0]) > 1]
    if not curves:
        return np.empty(0), np.empty(0)
    begin, end = min(c[0][0] for c in curves), max(c[0][-1] for c in curves)
    edges = np.linspace(begin, end, max(2, max_points) + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    total = np.zeros(len(middle))
    for t, cumulative in curves:
        total += np.diff(np.interp(edges, t, cumulative)) / np.diff(edges)
    return middle + session.origin_ns * 1e-9, total
