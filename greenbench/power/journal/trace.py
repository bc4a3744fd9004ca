"""A power journal read back: windows of it in joules, and series for plots."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenbench.power.journal.device import Track, build
from greenbench.power.journal.file import JournalContents, Segment, read_segments
from greenbench.power.journal.window import DeviceEnergy, device_energy
from greenbench.power.samples import MIXED, DeviceInfo, Sample

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WindowEnergy:
    """Energy of all counted devices in one window.

    ``energy_j`` is None where nothing was recorded. ``valid`` is False where a device's figure must not be used;
    ``problems`` says why, and everything else worth knowing. ``uncertainty_j`` is the meter's part only: edges,
    sensor tolerance and model range; spread between runs and carbon factors are kept elsewhere.
    """

    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    uncertainty_j: float | None
    edge_j: float | None
    source: str | None
    kind: str | None
    mean_power_w: float | None
    duration_s: float
    valid: bool
    problems: tuple[str, ...]
    devices: tuple[DeviceEnergy, ...]
    counts: dict[str, int] = field(default_factory=dict)
    hole_s: float = 0.0


@dataclass
class _Session:
    """One segment's devices as arrays; ``begin_ns .. end_ns`` is what its readings span."""

    boot_id: str
    origin_ns: int
    begin_ns: int
    end_ns: int
    tracks: dict[str, Track]
    header: dict[str, Any]

    @property
    def reach_ns(self) -> int:
        """How far an edge may lie beyond the readings: set by the fastest device."""
        gaps = [track.max_gap_s for track in self.tracks.values() if len(track.all_t_s)]
        return round(min(gaps, default=0.0) * 1e9)


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
        self.warnings = [warning for comment in self.comments for warning in comment.get("end", {}).get("warnings", [])]
        self._sessions = [_session(segment) for segment in contents.segments if segment.samples]

    @property
    def devices(self) -> dict[str, DeviceInfo]:
        """Every device seen, by name."""
        return {name: track.info for session in self._sessions for name, track in session.tracks.items()}

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
            name: float(np.median([s.read_ns for s in track.samples])) * 1e-9
            for session in self._sessions
            for name, track in session.tracks.items()
        }

    def _of_boot(self, boot_id: str | None) -> list[_Session]:
        wanted = boot_id if boot_id is not None else self._sessions[-1].boot_id if self._sessions else ""
        return sorted((s for s in self._sessions if s.boot_id == wanted), key=lambda s: s.begin_ns)

    def total(self) -> WindowEnergy:
        """Energy of everything recorded: all sessions of all boots, without the holes between them."""
        parts = [self._cut([s], s.begin_ns, s.end_ns) for s in self._sessions]
        return _combine(parts, sum(p.duration_s for p in parts), 0.0, [])

    def window(self, t0_ns: int, t1_ns: int, *, boot_id: str | None = None, across_holes: bool = False) -> WindowEnergy:
        """Cut a window.

        Sessions inside it are summed; a hole between two sessions is never integrated. A hole of more than 1 % of
        the window makes it invalid unless ``across_holes`` says that nothing ran meanwhile (a resumed trial).

        Raises:
            ValueError: the window ends before it begins.
        """
        if t1_ns < t0_ns:
            raise ValueError(f"the window ends {(t0_ns - t1_ns) * 1e-9:g} s before it begins")
        sessions = [
            s for s in self._of_boot(boot_id) if s.end_ns + s.reach_ns >= t0_ns and s.begin_ns - s.reach_ns <= t1_ns
        ]
        duration_s = (t1_ns - t0_ns) * 1e-9
        if not sessions:
            reason = "the journal holds no readings of this window"
            return _combine([], duration_s, 0.0, [reason])
        return self._cut(sessions, t0_ns, t1_ns, across_holes=across_holes)

    def _cut(self, sessions: list[_Session], t0_ns: int, t1_ns: int, *, across_holes: bool = True) -> WindowEnergy:
        parts: list[WindowEnergy] = []
        hole_ns = 0
        for i, session in enumerate(sessions):
            begin = t0_ns if i == 0 else max(t0_ns, session.begin_ns)
            end = t1_ns if i == len(sessions) - 1 else min(t1_ns, session.end_ns)
            if i:
                hole_ns += max(0, begin - max(t0_ns, sessions[i - 1].end_ns))
            parts.append(_one_session(session, begin, max(begin, end)))
        duration_s = (t1_ns - t0_ns) * 1e-9
        extra = []
        if hole_ns:
            extra.append(f"{hole_ns * 1e-9:.2f} s between two sessions are not recorded and not counted")
        spoiled = hole_ns > 0.01 * (t1_ns - t0_ns) and not across_holes
        return _combine(parts, duration_s, hole_ns * 1e-9, extra, spoiled=spoiled)

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
    tracks = {}
    for name, rows in by_device.items():
        if not rows:
            continue
        info = segment.devices.get(name) or _guess(name, rows)
        tracks[name] = build(info, rows, origin)
    times = [t for track in tracks.values() for t in (track.all_t_s[:1].tolist() + track.all_t_s[-1:].tolist())]
    begin, end = (min(times), max(times)) if times else (0.0, 0.0)
    return _Session(
        segment.boot_id, origin, origin + round(begin * 1e9), origin + round(end * 1e9), tracks, segment.header
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


def _one_session(session: _Session, t0_ns: int, t1_ns: int) -> WindowEnergy:
    t0_s, t1_s = (t0_ns - session.origin_ns) * 1e-9, (t1_ns - session.origin_ns) * 1e-9
    devices = [device_energy(track, t0_s, t1_s) for track in session.tracks.values()]
    return _sum(devices, t1_s - t0_s, [], valid=True)


def _sum(devices: list[DeviceEnergy], duration_s: float, extra: list[str], *, valid: bool) -> WindowEnergy:
    counted = [d for d in devices if d.counted]
    known = [d for d in counted if d.energy_j is not None]
    problems = [*extra, *(f"{d.name}: {text}" for d in devices for text in (*d.spoiled, *d.warnings))]
    counts: Counter[str] = Counter()
    for device in devices:
        counts.update(device.counts)
    if not known:
        problems = problems or ["no power source was recorded"]
        return WindowEnergy(
            None, None, None, None, None, None, None, None, duration_s, False, tuple(problems), tuple(devices)
        )
    energy = sum(d.energy_j or 0.0 for d in known)
    low = sum(d.energy_j if d.energy_low_j is None else d.energy_low_j for d in known)  # type: ignore[misc]
    high = sum(d.energy_j if d.energy_high_j is None else d.energy_high_j for d in known)  # type: ignore[misc]
    kinds = {d.kind for d in known}
    return WindowEnergy(
        energy_j=energy,
        energy_low_j=low,
        energy_high_j=high,
        uncertainty_j=max(energy - low, high - energy),
        edge_j=sum(d.edge_j for d in known),
        source="+".join(dict.fromkeys(d.source for d in known)),
        kind=kinds.pop() if len(kinds) == 1 else MIXED,
        mean_power_w=energy / duration_s if duration_s > 0 else None,
        duration_s=duration_s,
        valid=valid and not any(d.spoiled for d in counted),
        problems=tuple(dict.fromkeys(problems)),
        devices=tuple(devices),
        counts=dict(counts),
    )


def _combine(
    parts: list[WindowEnergy], duration_s: float, hole_s: float, extra: list[str], *, spoiled: bool = False
) -> WindowEnergy:
    if len(parts) == 1 and not extra and not spoiled:
        return parts[0]
    merged: dict[str, DeviceEnergy] = {}
    for device in (d for part in parts for d in part.devices):
        merged[device.name] = _merge(merged[device.name], device) if device.name in merged else device
    total = _sum(list(merged.values()), duration_s, extra, valid=not spoiled)
    recorded_s = duration_s - hole_s
    mean = total.energy_j / recorded_s if total.energy_j is not None and recorded_s > 0 else None
    return WindowEnergy(**{**vars(total), "mean_power_w": mean, "hole_s": hole_s})


def _merge(a: DeviceEnergy, b: DeviceEnergy) -> DeviceEnergy:
    def plus(x: float | None, y: float | None) -> float | None:
        return y if x is None else x if y is None else x + y

    merged = DeviceEnergy(a.name, a.kind, a.source, part=a.part, counted=a.counted, shared=a.shared or b.shared)
    for name in ("energy_j", "energy_low_j", "energy_high_j", "counter_j", "integral_j", "uncertainty_j"):
        setattr(merged, name, plus(getattr(a, name), getattr(b, name)))
    merged.edge_j = a.edge_j + b.edge_j
    merged.samples = a.samples + b.samples
    merged.counts = a.counts + b.counts
    merged.warnings = list(dict.fromkeys(a.warnings + b.warnings))
    merged.spoiled = list(dict.fromkeys(a.spoiled + b.spoiled))
    merged.agree = None if a.agree is None and b.agree is None else a.agree is not False and b.agree is not False
    if merged.counter_j is not None and merged.integral_j:
        merged.ratio = merged.counter_j / merged.integral_j
    merged.temperature_start_c, merged.temperature_end_c = a.temperature_start_c, b.temperature_end_c
    return merged


def _series(session: _Session, device: str | None, max_points: int) -> tuple[Floats, Floats]:
    tracks = [t for name, t in session.tracks.items() if (t.info.counted if device is None else name == device)]
    curves = [curve for track in tracks if len((curve := _curve(track))[0]) > 1]
    if not curves:
        return np.empty(0), np.empty(0)
    begin, end = min(c[0][0] for c in curves), max(c[0][-1] for c in curves)
    edges = np.linspace(begin, end, max(2, max_points) + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    total = np.zeros(len(middle))
    for t, cumulative in curves:
        total += np.diff(np.interp(edges, t, cumulative)) / np.diff(edges)
    return middle + session.origin_ns * 1e-9, total


def _curve(track: Track) -> tuple[Floats, Floats]:
    """Cumulative energy over time: its mean over any interval is the mean power."""
    if track.info.power_from == "model" and track.energy is not None:
        return track.energy
    if len(track.t_s) > 1:
        steps = np.diff(track.t_s) * (track.power_w[1:] + track.power_w[:-1]) / 2
        return track.t_s, np.concatenate([[0.0], np.cumsum(steps)])
    if track.counter is not None:
        return track.counter.t_s, track.counter.energy_j
    return track.all_t_s[:0], track.all_t_s[:0]
