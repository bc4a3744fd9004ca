"""Values over time, as the journal's readings give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]
"""Times in seconds and the values at them."""


@dataclass(frozen=True)
class PowerCurve:
    """A device's power readings: strictly increasing times, finite watts; may be empty."""

    t_s: Floats
    power_w: Floats

    def around(self, begin_s: float, end_s: float) -> PowerCurve:
        """The readings inside an interval, and the one on either side of it."""
        lo, hi = np.searchsorted(self.t_s, [begin_s, end_s])
        part = slice(max(0, lo - 1), hi + 1)
        return PowerCurve(self.t_s[part], self.power_w[part])

    def inside(self, begin_s: float, end_s: float) -> PowerCurve:
        """The readings inside an interval, its edges included."""
        lo, hi = np.searchsorted(self.t_s, begin_s), np.searchsorted(self.t_s, end_s, side="right")
        return PowerCurve(self.t_s[lo:hi], self.power_w[lo:hi])

    def range_w(self, begin_s: float, end_s: float) -> tuple[float, float] | None:
        """Least and greatest power of an interval and its neighbours; None without readings."""
        near = self.around(begin_s, end_s).power_w
        return (float(np.min(near)), float(np.max(near))) if len(near) else None
