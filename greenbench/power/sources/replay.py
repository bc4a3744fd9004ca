"""A recorded journal as a source: the whole path runs in tests, demos and CI without the hardware.

The recording starts when the source is created and repeats from its beginning when it ends; counters go on
rising over the repeats. Each device keeps its name, its kind and its counter; its source becomes ``replay``.
"""

from __future__ import annotations

import bisect
import time
from pathlib import Path

from greenbench.power.journal.file import read_segments
from greenbench.power.samples import DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source


def find(path: Path) -> Source:
    """A source that plays ``path``, or a null source with the reason why it cannot."""
    try:
        segments = [s for s in read_segments(path).segments if s.samples]
    except OSError as error:
        return NullSource("replay", f"{path}: {error.strerror}")
    if not segments:
        return NullSource("replay", f"{path} holds no readings")
    tracks = [_Track(name, samples) for name, samples in _by_device(segments[0].samples).items() if len(samples) > 1]
    if not tracks:
        return NullSource("replay", f"{path}: a device needs two readings or more to be replayed")
    return ReplaySource(path, tracks, segments[0].devices)


def _by_device(samples: list[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.event is None:
            found.setdefault(sample.device, []).append(sample)
    return {name: sorted(rows, key=lambda s: s.t_mono_ns) for name, rows in found.items()}


class _Track:
    """One device of the recording."""

    def __init__(self, name: str, samples: list[Sample]) -> None:
        self.name = name
        self.samples = samples
        self.start_ns = samples[0].t_mono_ns
        self.times = [s.t_mono_ns - self.start_ns for s in samples]
        self.length_ns = self.times[-1]
        self.has_counter = all(s.energy_j is not None for s in samples)

    def at(self, elapsed_ns: int) -> tuple[Sample, Sample, float, int]:
        """The readings around ``elapsed_ns``, the position between them, and the number of repeats."""
        repeats, position = divmod(elapsed_ns, self.length_ns)
        index = min(bisect.bisect_right(self.times, position), len(self.times) - 1)
        first, second = self.samples[index - 1], self.samples[index]
        span = self.times[index] - self.times[index - 1]
        return first, second, (position - self.times[index - 1]) / span if span else 0.0, repeats


def _between(first: float | None, second: float | None, share: float) -> float | None:
    return None if first is None or second is None else first + (second - first) * share


class ReplaySource(Source):
    """Plays a recording in real time."""

    name = "replay"
    min_period_s = 0.0

    def __init__(self, path: Path, tracks: list[_Track], infos: dict[str, DeviceInfo]) -> None:
        self.available = True
        self.reason = f"replaying {path.name}: recorded earlier, not measured now"
        self._tracks = tracks
        self._start_ns = time.monotonic_ns()
        self.devices = [self._info(track, infos.get(track.name)) for track in tracks]

    def _info(self, track: _Track, recorded: DeviceInfo | None) -> DeviceInfo:
        first = track.samples[0]
        info = recorded or DeviceInfo(track.name, "replay", first.kind, "device")
        info.source = "replay"
        info.has_counter = track.has_counter
        if track.has_counter and all(s.power_w is None for s in track.samples):
            info.power_from = "counter"
        info.update_period_s = None  # played back between its readings, so the recorded steps are gone
        info.notes = [self.reason, *info.notes]
        return info

    def read(self) -> list[Sample]:
        """Every device's state at this moment of the recording."""
        now = time.monotonic_ns()
        return [self._play(track, now) for track in self._tracks]

    def _play(self, track: _Track, now_ns: int) -> Sample:
        first, second, share, repeats = track.at(now_ns - self._start_ns)
        sample = Sample(now_ns, 0, track.name, "replay", first.kind)
        sample.power_w = _between(first.power_w, second.power_w, share)
        for name in ("energy_j", "energy_low_j", "energy_high_j"):
            value = _between(getattr(first, name), getattr(second, name), share)
            if value is not None:
                start, end = getattr(track.samples[0], name), getattr(track.samples[-1], name)
                value += repeats * ((end or 0.0) - (start or 0.0))
            setattr(sample, name, value)
        sample.power_low_w = _between(first.power_low_w, second.power_low_w, share)
        sample.power_high_w = _between(first.power_high_w, second.power_high_w, share)
        sample.temperature_c, sample.util_pct = first.temperature_c, first.util_pct
        sample.throttle = first.throttle
        return sample

    def close(self) -> None:
        """Nothing to release."""
