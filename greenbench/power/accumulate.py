"""Energy so far, kept up reading by reading inside the sampler for the live cell."""

from __future__ import annotations

from greenbench.power.samples import MIXED, DeviceInfo, Sample

_MAX_GAP_S = 2.0


class _Device:
    """One device's energy since the sampler began."""

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self.ahead_limit_s = 2 * (info.update_period_s or 0.1)
        self.energy_j: float | None = None
        self.low_j = self.high_j = 0.0
        self.power_w: float | None = None
        self._last: Sample | None = None
        self.changed_ns = 0

    def add(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        t_ns, power_w = sample.t_mono_ns, sample.power_w
        if sample.event == "lost":
            self.power_w = None
        elif last is None or last.event == "lost":
            self._begin(sample)
        elif self.energy_j is None or t_ns <= last.t_mono_ns:
            return
        elif sample.energy_j is not None and last.energy_j is not None:
            step_j = sample.energy_j - last.energy_j
            if step_j > 0:
                self._step(step_j, sample, last)
                since_s = (t_ns - self.changed_ns) * 1e-9
                self.power_w = power_w if power_w is not None else step_j / since_s if since_s > 0 else None
                self.changed_ns = t_ns
            elif power_w is not None:
                self.power_w = power_w
        elif power_w is not None:
            before_w = power_w if last.power_w is None else last.power_w
            elapsed_s = (t_ns - last.t_mono_ns) * 1e-9
            self._step((power_w + before_w) / 2 * min(elapsed_s, _MAX_GAP_S), sample, last)
            self.power_w = power_w
            self.changed_ns = t_ns

    def _begin(self, sample: Sample) -> None:
        self.power_w = sample.power_w
        self.changed_ns = sample.t_mono_ns
        if self.energy_j is None and (sample.energy_j is not None or sample.power_w is not None):
            self.energy_j = 0.0

    def _step(self, step_j: float, sample: Sample, last: Sample) -> None:
        self.energy_j = (self.energy_j or 0.0) + step_j
        low_j, high_j = sample.energy_low_j, sample.energy_high_j
        last_low_j, last_high_j = last.energy_low_j, last.energy_high_j
        if low_j is not None and high_j is not None and last_low_j is not None and last_high_j is not None:
            self.low_j += low_j - last_low_j
            self.high_j += high_j - last_high_j
        else:
            self.low_j += step_j * (1 - self.info.tolerance)
            self.high_j += step_j * (1 + self.info.tolerance)


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
        energy_j = power_w = low_j = high_j = 0.0
        known = powered = False
        for device in self._devices.values():
            if device.energy_j is None:
                continue
            known = True
            energy_j += device.energy_j
            low_j += device.low_j
            high_j += device.high_j
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
