"""Energy so far, kept up reading by reading inside the sampler for the live cell."""

from __future__ import annotations

from greenbench.power.energy import mix_kinds
from greenbench.power.samples import DeviceInfo, Sample

_MAX_GAP_S = 2.0
_SCALE_AFTER_S = 1.0  # of power readings, before counter over power corrects them
_SCALES = (0.25, 4.0)


class _Device:
    """One device's energy since the sampler began: its counter's, carried on by power between two of its readings."""

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self.ahead_limit_s = 2 * (info.update_period_s or 0.1)
        self.energy_j: float | None = None
        self.low_j = self.high_j = 0.0
        self.power_w: float | None = None
        self.changed_ns = 0
        self._last: Sample | None = None
        self._counter: Sample | None = None
        self._counted_j = 0.0
        self._carried_j = self._carried_s = 0.0
        self._scale = 1.0

    def add(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        if sample.event == "lost":
            self.power_w = None
        elif last is None or last.event == "lost":
            self._begin(sample)
        elif self.energy_j is None or sample.t_mono_ns <= last.t_mono_ns:
            return
        elif sample.energy_j is not None and self._counter is not None:
            self._count(sample, sample.energy_j, self._counter)
        else:
            if sample.power_w is not None:
                self._carry(sample, sample.power_w, last)
            if sample.energy_j is not None:
                self._start_from(sample)

    def _begin(self, sample: Sample) -> None:
        self.power_w = sample.power_w
        self.changed_ns = sample.t_mono_ns
        if self.energy_j is None and (sample.energy_j is not None or sample.power_w is not None):
            self.energy_j = 0.0
        self._start_from(sample if sample.energy_j is not None else None)

    def _start_from(self, counter: Sample | None) -> None:
        """Keep what power has carried the total to, and count on from this reading."""
        self._counter = counter
        self.low_j, self.high_j = self.range_j()
        self._counted_j, self._carried_j, self._carried_s = self.energy_j or 0.0, 0.0, 0.0

    def _count(self, sample: Sample, energy_j: float, before: Sample) -> None:
        step_j = energy_j - (before.energy_j or 0.0)
        if step_j == 0.0 and self._carried_s > 0.0:
            return  # read twice within one of its updates: power goes on from the first
        if step_j <= 0.0:
            self._start_from(sample)
            self.power_w = self.power_w if sample.power_w is None else sample.power_w
            return
        if self._carried_s > _SCALE_AFTER_S and self._carried_j > 0.0:
            self._scale = min(max(step_j / self._carried_j, _SCALES[0]), _SCALES[1])
        since_s = (sample.t_mono_ns - self.changed_ns) * 1e-9
        self.power_w = sample.power_w if sample.power_w is not None else step_j / since_s if since_s > 0 else None
        self.changed_ns = sample.t_mono_ns
        self._carried_j = self._carried_s = 0.0
        self._range(step_j, sample, before)
        self.energy_j = self._counted_j = self._counted_j + step_j
        self._counter = sample

    def _carry(self, sample: Sample, power_w: float, last: Sample) -> None:
        elapsed_s = (sample.t_mono_ns - last.t_mono_ns) * 1e-9
        before_w = power_w if last.power_w is None else last.power_w
        self._carried_j += (power_w + before_w) / 2 * min(elapsed_s, _MAX_GAP_S)
        self._carried_s += elapsed_s
        self.energy_j = self._counted_j + self._carried_j * self._scale
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
        carried_j = self._carried_j * self._scale
        tolerance = self.info.tolerance
        return self.low_j + carried_j * (1 - tolerance), self.high_j + carried_j * (1 + tolerance)


class Totals:
    """The counted devices together."""

    def __init__(self, devices: list[DeviceInfo]) -> None:
        self._devices = {info.device: _Device(info) for info in devices if info.counted}
        self._kind = mix_kinds(info.kind for info in devices if info.counted)

    def add(self, sample: Sample) -> None:
        """Take one reading into account."""
        device = self._devices.get(sample.device)
        if device is not None:
            device.add(sample)

    def now(self, now_ns: int) -> tuple[float | None, float | None, str | None, float | None, float | None]:
        """``(energy_j, power_w, kind, low_j, high_j)``; all None before the first reading."""
        energy_j = power_w = low_j = high_j = 0.0
        known = powered = False
        for device in self._devices.values():
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
                # The counter's last value plus the power since, for two of its updates at most.
                ahead_s = (now_ns - device.changed_ns) * 1e-9
                if ahead_s > 0:
                    energy_j += device.power_w * (ahead_s if ahead_s < device.ahead_limit_s else device.ahead_limit_s)
        if not known:
            return None, None, None, None, None
        return energy_j, power_w if powered else None, self._kind, low_j, high_j
