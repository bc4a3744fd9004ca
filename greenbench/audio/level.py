"""How loud the samples of a file are: beyond full scale, silent, or cancelled by their own other channel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

INT16_SCALE = 1 / 32768
_LOSSY_OVERSHOOT = 2.0
"""A decoder may overshoot what was encoded; up to here it is clipped, as every decoder to 16 bits does."""
_MIXED_AT_MOST = 16.0
"""Mixing in floating point goes beyond full scale by this at most (24 dB); what is larger is counted in other units."""
_INT16_AT_MOST = 32768 * 1.01
_CANCELLED = 0.2
"""Independent channels leave 1 / channels of their energy in their mean; less than a fifth of that is cancellation."""


@dataclass
class Level:
    """Collects what matters of a file's samples, block after block, (S, C) float32."""

    channels: int
    count: int = 0
    integers: bool = True
    low: np.ndarray = field(init=False)
    high: np.ndarray = field(init=False)
    _sums: np.ndarray = field(init=False)
    _squares: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        # The last column is the mean of the channels.
        columns = self.channels + (self.channels > 1)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._sums, self._squares = np.zeros(columns), np.zeros(columns)

    def add(self, block: np.ndarray) -> bool:
        """Take a block in; false where it holds samples that are not numbers."""
        if self.channels > 1:
            block = np.concatenate([block, block.mean(axis=1, keepdims=True)], axis=1)
        low, high = block.min(axis=0), block.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return False
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        if self.channels > 1:
            self._sums += block.sum(axis=0, dtype=np.float64)
            self._squares += np.einsum("sc,sc->c", block, block, dtype=np.float64)
        self.count += len(block)
        if self.integers and max(-low.min(), high.max()) > 1:
            self.integers = bool(np.array_equal(block[:, : self.channels], np.rint(block[:, : self.channels])))
        return True

    @property
    def peak(self) -> float:
        """The largest sample of any channel, without its sign."""
        return float(max(-self.low.min(), self.high.max(), 0.0))

    def gain(self, *, lossy: bool) -> float | None:
        """The factor that brings the file to [-1, 1]: 1 for nearly all; None where no scale is known.

        Floating-point files hold either what mixing left (somewhat beyond 1) or 16-bit numbers that nobody divided.
        """
        if self.peak <= (_LOSSY_OVERSHOOT if lossy else 1.0):
            return 1.0
        if self.integers and self.peak <= _INT16_AT_MOST:
            return INT16_SCALE
        if self.peak <= _MIXED_AT_MOST:
            return 1.0 / self.peak
        return INT16_SCALE if self.peak <= _INT16_AT_MOST else None

    def silences(self, gain: float) -> tuple[str | None, ...]:
        """Why nothing would be heard of each channel and, last, of their mean; None where something is."""
        swings = (self.high - self.low) * gain / INT16_SCALE
        reasons = [_silence(float(swing), float(high)) for swing, high in zip(swings, self.high, strict=True)]
        if self.channels > 1 and None in reasons[:-1] and (reasons[-1] is not None or self._cancels()):
            reasons[-1] = "its channels cancel when they are averaged (opposite phase); give one channel alone"
        return tuple(reasons)

    def _cancels(self) -> bool:
        energies = self._squares / self.count - (self._sums / self.count) ** 2
        return bool(energies[-1] < _CANCELLED / self.channels * energies[:-1].mean())


def _silence(swing: float, high: float) -> str | None:
    if swing >= 1.0:
        return None
    if swing > 0.0:
        return "holds only silence (less than one step of 16 bits)"
    return "holds only silence (every sample is 0)" if high == 0.0 else "holds only silence (every sample is the same)"
