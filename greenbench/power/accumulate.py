"""Energy so far, kept up reading by reading inside the sampler for the live cell."""

from __future__ import annotations

from greenbench.power.samples import MIXED, DeviceInfo, Sample

_MAX_GAP_S = 2.0


class _Device:
    """One device's energy since the sampler began."""

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self.energy_j: float | None = None
        self.low_j = self.high_j = 0.0
        self.power_w: float | None = None
        self._last: Sample | None = None
        self._changed_ns = 0
        self._t_ns = 0

    def add(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        self._t_ns = sample.t_mono_ns
        if sample.event == "lost":
            self.power_w = None
            return
        if last is None or last.event == "lost":
            self._begin(sample)
            return
        elapsed_s = (sample.t_mono_ns - last.t_mono_ns) * 1e-9
        if self.energy_j is None or elapsed_s <= 0:
            return
        if sample.energy_j is not None and last.energy_j is not None:
            self._counter(sample, last)
        elif sample.power_w is not None:
            before = sample.power_w if last.power_w is None else last.power_w
            step_j = (sample.power_w + before) / 2 * min(elapsed_s, _MAX_GAP_S)
            self._step(step_j, sample, last)
            self.power_w = sample.power_w
            self._changed_ns = sample.t_mono_ns

    def _begin(self, sample: Sample) -> None:
        self.power_w = sample.power_w
        self._changed_ns = sample.t_mono_ns
        if self.energy_j is None and (sample.energy_j is not None or sample.power_w is not None):
            self.energy_j = 0.0

    def _counter(self, sample: Sample, last: Sample) -> None:
        step_j = (sample.energy_j or 0.0) - (last.energy_j or 0.0)
        if step_j > 0:
            self._step(step_j, sample, last)
            since_s = (sample.t_mono_ns - self._changed_ns) * 1e-9
            self.power_w = sample.power_w if sample.power_w is not None else step_j / since_s if since_s > 0 else None
            self._changed_ns = sample.t_mono_ns
        elif sample.power_w is not None:
            self.power_w = sample.power_w

    def _step(self, step_j: float, sample: Sample, last: Sample) -> None:
        self.energy_j = (self.energy_j or 0.0) + step_j
        ranged = None not in (sample.energy_low_j, sample.energy_high_j, last.energy_low_j, last.energy_high_j)
        if ranged:
            self.low_j += sample.energy_low_j - last.energy_low_j  # type: ignore[operator]
            self.high_j += sample.energy_high_j - last.energy_high_j  # type: ignore[operator]
        else:
            self.low_j += step_j * (1 - self.info.tolerance)
            self.high_j += step_j * (1 + self.info.tolerance)

    def estimate_j(self, now_ns: int) -> float | None:
        """Energy at ``now``: the counter plus the power since its last change (never more than a second of it)."""
        if self.energy_j is None or self.power_w is None:
            return self.energy_j
        period_s = self.info.update_period_s or 0.1
        return self.energy_j + self.power_w * min(max(0.0, (now_ns - self._changed_ns) * 1e-9), 2 * period_s)


class Totals:
    """The counted devices together."""

    def __init__(self, devices: list[DeviceInfo]) -> None:
        self._devices = {info.device: _Device(info) for info in devices if info.counted}
        kinds = {info.kind for info in devices if info.counted}
        self._kind = next(iter(kinds)) if len(kinds) == 1 else MIXED if kinds else None

    def add(self, sample: Sample) -> None:
        """Take one reading into account."""
        device = self._devices.get(sample.device)
        if device is not None:
            device.add(sample)

    def now(self, now_ns: int) -> tuple[float | None, float | None, str | None, float | None, float | None]:
        """Return ``(energy_j, power_w, kind, low_j, high_j)``; all None before the first reading."""
        energy = power = low = high = 0.0
        known = powered = False
        for device in self._devices.values():
            value = device.estimate_j(now_ns)
            if value is None:
                continue
            known = True
            energy += value
            low += device.low_j
            high += device.high_j
            if device.power_w is not None:
                powered = True
                power += device.power_w
        if not known:
            return None, None, None, None, None
        return energy, power if powered else None, self._kind, low, high
