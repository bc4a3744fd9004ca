"""Energy so far, kept up reading by reading inside the sampler for the live cell."""

from __future__ import annotations

import math
from dataclasses import replace

from greenbench.power.energy import mix_kinds
from greenbench.power.plausible import CATCH_UP, impossible_power, most_j, still_s
from greenbench.power.sampler.live import LiveState
from greenbench.power.samples import DeviceInfo, Sample

_MAX_GAP_S = 2.0
_SCALE_AFTER_S = 1.0  # of power readings, before counter over power corrects them
_SCALES = (0.25, 4.0)
_SILENT_S = 2.0


class _Device:
    """One device's energy since the sampler began: its counter's, carried on by power between two of its readings.

    The same readings are refused here as in a journal read back, see ``plausible``.
    """

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self.ahead_limit_s = 2 * (info.update_period_s or 0.1)
        self.energy_j: float | None = None
        self.low_j = self.high_j = 0.0
        self.power_w: float | None = None
        self.changed_ns = 0
        self.told_ns: int | None = None
        self._last: Sample | None = None
        self._counter: Sample | None = None
        self._counted_j = 0.0
        self._carried_j = self._carried_s = 0.0
        self._scale = 1.0
        self._shown_j = 0.0  # what is carried and in the total; between two updates close together it waits
        self._still_s = 0.0  # for how long the counter has been read without a change

    def add(self, sample: Sample) -> None:
        sample = self._believed(sample)
        last, self._last = self._last, sample
        if sample.event == "lost":
            self.power_w = None
        elif last is None or last.event == "lost":
            self._begin(sample)
        elif sample.t_mono_ns <= last.t_mono_ns:
            return
        elif self.energy_j is None:
            self._begin(sample)
        elif sample.energy_j is not None and self._counter is not None:
            self._count(sample, sample.energy_j, self._counter, last)
        else:
            if sample.power_w is not None:
                self._carry(sample, sample.power_w, last)
            if sample.energy_j is not None:
                self._start_from(sample)

    def working(self, now_ns: int) -> bool:
        """Whether the device has said something new that can be true in the last two seconds."""
        slow_s = 3 * (self.info.sample_period_s or 0.0)
        return self.told_ns is not None and (now_ns - self.told_ns) * 1e-9 <= max(_SILENT_S, slow_s)

    def _believed(self, sample: Sample) -> Sample:
        if sample.power_w is not None and impossible_power(self.info, sample.power_w):
            sample = replace(sample, power_w=None)
        if sample.energy_j is not None and not math.isfinite(sample.energy_j):
            sample = replace(sample, energy_j=None)
        if sample.power_w is not None and self.info.power_from != "counter":
            self.told_ns = sample.t_mono_ns
        return sample

    def _begin(self, sample: Sample) -> None:
        self.power_w = sample.power_w
        self.changed_ns = self.told_ns = sample.t_mono_ns
        if self.energy_j is None and (sample.energy_j is not None or sample.power_w is not None):
            self.energy_j = 0.0
        self._start_from(sample if sample.energy_j is not None else None)

    def _start_from(self, counter: Sample | None) -> None:
        """Keep what power has carried the total to, and count on from this reading."""
        self._counter = counter
        self.low_j, self.high_j = self.range_j()
        self._counted_j = self.energy_j or 0.0
        self._carried_j = self._carried_s = self._shown_j = self._still_s = 0.0

    def _count(self, sample: Sample, energy_j: float, before: Sample, last: Sample) -> None:
        step_j = energy_j - (before.energy_j or 0.0)
        since_s = (sample.t_mono_ns - before.t_mono_ns) * 1e-9
        if step_j == 0.0:
            self._wait(sample, before, last)
            return
        if step_j < 0.0 or step_j > most_j(self.info, since_s):
            # It began anew, or jumped: what was drawn meanwhile is power's to say, or the power it showed before.
            self._carry(sample, sample.power_w or self.power_w or 0.0, last)
            self._start_from(sample)
            return
        self.told_ns = sample.t_mono_ns
        stood_s, self._still_s = self._still_s, 0.0
        if stood_s > still_s(self.info) and step_j < CATCH_UP * self._carried_j * self._scale:
            self._start_from(sample)  # it stood still, and does not make up for it
            return
        if self._carried_s > _SCALE_AFTER_S and self._carried_j > 0.0:
            self._scale = min(max(step_j / self._carried_j, _SCALES[0]), _SCALES[1])
        changed_s = (sample.t_mono_ns - self.changed_ns) * 1e-9
        self.power_w = sample.power_w if sample.power_w is not None else step_j / changed_s if changed_s > 0 else None
        self.changed_ns = sample.t_mono_ns
        self._carried_j = self._carried_s = self._shown_j = 0.0
        self._range(step_j, sample, before)
        self.energy_j = self._counted_j = self._counted_j + step_j
        self._counter = sample

    def _wait(self, sample: Sample, before: Sample, last: Sample) -> None:
        """Its next update is still to come; after too long it stands still, and power goes on without it."""
        self._still_s = (sample.t_mono_ns - before.t_mono_ns) * 1e-9
        if sample.power_w is None:
            return
        if self._still_s > still_s(self.info):
            self._carry(sample, sample.power_w, last)
        else:
            self._drawn(sample, sample.power_w, last)

    def _drawn(self, sample: Sample, power_w: float, last: Sample) -> None:
        elapsed_s = (sample.t_mono_ns - last.t_mono_ns) * 1e-9
        mean_w = (power_w + (power_w if last.power_w is None else last.power_w)) / 2
        self._carried_j += mean_w * min(elapsed_s, _MAX_GAP_S)
        self._carried_s += elapsed_s

    def _carry(self, sample: Sample, power_w: float, last: Sample) -> None:
        self._drawn(sample, power_w, last)
        self._shown_j = self._carried_j * self._scale
        self.energy_j = self._counted_j + self._shown_j
        self.power_w = power_w
        self.changed_ns = sample.t_mono_ns

    def _range(self, step_j: float, sample: Sample, before: Sample) -> None:
        low_j, high_j = sample.energy_low_j, sample.energy_high_j
        before_low_j, before_high_j = before.energy_low_j, before.energy_high_j
        if low_j is not None and high_j is not None and before_low_j is not None and before_high_j is not None:
            self.low_j += low_j - before_low_j
            self.high_j += high_j - before_high_j
        else:
            self.low_j += step_j * (1 - self.info.tolerance)
            self.high_j += step_j * (1 + self.info.tolerance)

    def range_j(self) -> tuple[float, float]:
        """What the energy may be: a model's own range, a sensor's tolerance."""
        tolerance = self.info.tolerance
        return self.low_j + self._shown_j * (1 - tolerance), self.high_j + self._shown_j * (1 + tolerance)


class Totals:
    """The counted devices together."""

    def __init__(self, devices: list[DeviceInfo]) -> None:
        self._devices = {info.device: _Device(info) for info in devices if info.counted and not info.missing}
        self._kind = mix_kinds(device.info.kind for device in self._devices.values())

    def add(self, sample: Sample) -> None:
        """Take one reading into account."""
        device = self._devices.get(sample.device)
        if device is not None:
            device.add(sample)

    def now(self, now_ns: int) -> LiveState:
        """The state at a moment: the counters' last values plus the power since, for two of their updates at most."""
        energy_j = power_w = low_j = high_j = 0.0
        known = powered = False
        working = bool(self._devices)
        for device in self._devices.values():
            working = working and device.working(now_ns)
            if device.energy_j is None:
                continue
            known = True
            energy_j += device.energy_j
            low, high = device.range_j()
            low_j += low
            high_j += high
            if device.power_w is not None:
                powered = True
                power_w += device.power_w
                ahead_s = (now_ns - device.changed_ns) * 1e-9
                if ahead_s > 0:
                    energy_j += device.power_w * (ahead_s if ahead_s < device.ahead_limit_s else device.ahead_limit_s)
        if not known:
            return LiveState()
        return LiveState(energy_j, power_w if powered else None, self._kind, low_j, high_j, working)
