"""When to read: once in every period, at a time that moves inside it by a golden-ratio sequence.

No rhythm of the load can lock to such times, and unlike random ones they leave no holes.
"""

from __future__ import annotations

import time

_GOLDEN = 0.6180339887498949
_JITTER = 0.9  # share of the period over which a sampling time may move
_NS_PER_S = 1_000_000_000


class Ticks:
    """Sampling times in monotonic nanoseconds, counted from when this was made."""

    def __init__(self, period_s: float) -> None:
        self._start_ns = time.monotonic_ns()
        self._period_ns = period_s * _NS_PER_S

    def _at_ns(self, number: int) -> int:
        return self._start_ns + int((number + number * _GOLDEN % 1.0 * _JITTER) * self._period_ns)

    def next_ns(self, now_ns: int) -> int:
        """The first sampling time after ``now_ns``."""
        number = int((now_ns - self._start_ns) / self._period_ns)
        at_ns = self._at_ns(number)
        return at_ns if at_ns > now_ns else self._at_ns(number + 1)
